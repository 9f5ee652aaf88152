"""Weight maps: which of our parameters each tensor of a checkpoint fills. Total in both directions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freehold.checkpoints.base import Checkpoint, Naming
from freehold.errors import WeightMapError

# Our module's name, Hugging Face's, GGUF's; `{i}` stands for the layer.
LLAMA_SHAPED: tuple[tuple[str, str, str], ...] = (
    ("embedding", "model.embed_tokens", "token_embd"),
    ("blocks.{i}.attention_norm", "model.layers.{i}.input_layernorm", "blk.{i}.attn_norm"),
    ("blocks.{i}.attention.qkv.q", "model.layers.{i}.self_attn.q_proj", "blk.{i}.attn_q"),
    ("blocks.{i}.attention.qkv.k", "model.layers.{i}.self_attn.k_proj", "blk.{i}.attn_k"),
    ("blocks.{i}.attention.qkv.v", "model.layers.{i}.self_attn.v_proj", "blk.{i}.attn_v"),
    ("blocks.{i}.attention.output", "model.layers.{i}.self_attn.o_proj", "blk.{i}.attn_output"),
    ("blocks.{i}.mlp_norm", "model.layers.{i}.post_attention_layernorm", "blk.{i}.ffn_norm"),
    ("blocks.{i}.mlp.gate_up.gate", "model.layers.{i}.mlp.gate_proj", "blk.{i}.ffn_gate"),
    ("blocks.{i}.mlp.gate_up.up", "model.layers.{i}.mlp.up_proj", "blk.{i}.ffn_up"),
    ("blocks.{i}.mlp.down", "model.layers.{i}.mlp.down_proj", "blk.{i}.ffn_down"),
    ("norm", "model.norm", "output_norm"),
    ("head", "lm_head", "output"),
)


@dataclass(frozen=True)
class WeightMap:
    """The names of a family's tensors.

    Attributes:
        modules: our module's name, Hugging Face's, GGUF's.
        dropped: tensors that are left unread on purpose, with `{i}` for a layer; everything else must be used.
        interleaved: our modules whose rows GGUF keeps in pairs (0, 1), (2, 3)... where we and Hugging Face keep halves.
    """

    modules: tuple[tuple[str, str, str], ...] = LLAMA_SHAPED
    dropped: tuple[str, ...] = ("model.layers.{i}.self_attn.rotary_emb.inv_freq", "rope_freqs.weight")
    interleaved: tuple[str, ...] = ()

    def foreign(self, parameter: str, naming: Naming) -> str:
        """The checkpoint's name for one of our parameters, `blocks.3.mlp.down.weight` and the like."""
        module, _, kind = parameter.rpartition(".")
        layer = re.search(r"\.(\d+)\.", module)
        template = module if layer is None else module.replace(layer.group(), ".{i}.", 1)
        for ours, hugging_face, gguf in self.modules:
            if ours == template:
                name = hugging_face if naming is Naming.HUGGING_FACE else gguf
                return f"{name}.{kind}".replace("{i}", layer.group(1) if layer else "")
        raise KeyError(f"the weight map has no row for {template}")

    def is_dropped(self, name: str) -> bool:
        """Whether a checkpoint's tensor is left unread on purpose."""
        return re.sub(r"\.\d+\.", ".{i}.", name, count=1) in self.dropped

    def is_interleaved(self, parameter: str) -> bool:
        """Whether GGUF keeps the rows of this parameter in pairs."""
        return re.sub(r"\.\d+\.", ".{i}.", parameter, count=1).rpartition(".")[0] in self.interleaved


def halves_from_pairs(rows: int, head_dim: int) -> npt.NDArray[np.int64]:
    """Order that takes rows paired as (0, 1), (2, 3)... within each head to first and second halves."""
    order = np.arange(rows).reshape(rows // head_dim, head_dim // 2, 2)
    result: npt.NDArray[np.int64] = order.transpose(0, 2, 1).reshape(rows)
    return result


def pairs_from_halves(rows: int, head_dim: int) -> npt.NDArray[np.int64]:
    """The inverse of `halves_from_pairs`."""
    return np.argsort(halves_from_pairs(rows, head_dim))


def match_tensors(
    weights: WeightMap, shapes: Mapping[str, tuple[int, ...]], checkpoint: Checkpoint, *, tied: bool
) -> dict[str, str]:
    """Where each parameter lies, after checking that nothing is missing, left over or misshapen.

    Args:
        shapes: of every parameter of the model, by our names.
        tied: the model's head is its embedding, so that a copy of it in the checkpoint may be left unread.

    Returns:
        the checkpoint's tensor name for each parameter.

    Raises:
        WeightMapError: names the tensors at fault.
    """
    names = {parameter: weights.foreign(parameter, checkpoint.naming) for parameter in shapes}
    missing = [name for name in names.values() if name not in checkpoint.tensors]
    if missing:
        raise _fault("lacks", missing, checkpoint, "it may be incomplete, or its configuration may be of another model")
    unread = set(checkpoint.tensors) - set(names.values())
    head = weights.foreign("head.weight", checkpoint.naming)
    extra = sorted(name for name in unread if not weights.is_dropped(name) and not (tied and name == head))
    if extra:
        raise _fault("has unexpected", extra, checkpoint, "the model does what this family does not, so it is not run")
    for parameter, name in names.items():
        found = checkpoint.tensors[name].shape
        if found != shapes[parameter]:
            raise WeightMapError(
                f"{checkpoint.path.name}: tensor `{name}` has shape {list(found)}; "
                f"the configuration asks for {list(shapes[parameter])}",
                hint="configuration and weights do not belong together",
            )
    return names


def _fault(what: str, names: Iterable[str], checkpoint: Checkpoint, reason: str) -> WeightMapError:
    listed = list(names)
    shown = ", ".join(f"`{name}`" for name in listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
    return WeightMapError(f"{checkpoint.path.name} {what} tensor{'s' if len(listed) > 1 else ''}: {shown}", hint=reason)
