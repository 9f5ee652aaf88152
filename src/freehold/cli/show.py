"""`freehold show`: a model, and the memory it needs."""

from __future__ import annotations

from dataclasses import asdict

from freehold.cli.options import CacheTypeOption, ContextOption, DtypeOption, JsonOption, ModelArgument
from freehold.cli.output import human_bytes, human_count, print_json


def command(
    model: ModelArgument,
    *,
    context: ContextOption = None,
    dtype: DtypeOption = None,
    cache_type: CacheTypeOption = None,
    json: JsonOption = False,
) -> None:
    """Describe a model, and the memory it needs on the processor: its weights, and a cache for one full context.

    Every further sequence that is computed at the same time needs a cache of its own.
    """
    from freehold.cli.describing import describe
    from freehold.tensors import WeightType

    found = describe(model, None if dtype is None else WeightType(dtype), cache_type, context)
    needed = found.weight_bytes + found.cache_bytes
    if json:
        print_json(asdict(found) | {"path": str(found.path), "memory_bytes": needed})
        return
    storage = ", ".join(f"{kind} {share:.0%}" for kind, share in found.storage.items())
    weights, cache = human_bytes(found.weight_bytes), human_bytes(found.cache_bytes)
    rows = {
        "architecture": f"{found.architecture}, {found.layers} layers of width {found.hidden}, "
        f"{found.heads} heads ({found.kv_heads} for keys and values)",
        "parameters": human_count(found.parameters),
        "context": f"{found.context_length} tokens",
        "vocabulary": f"{found.vocabulary} tokens",
        "quantisation": storage,
        "licence": found.licence or "not stated",
        "size on disk": human_bytes(found.disk_bytes),
        "memory": f"{human_bytes(needed)}: weights {weights}, cache for {found.context} tokens {cache}",
    }
    print(found.name)
    for label, value in rows.items():
        print(f"  {label:<13}  {value}")
