"""Which files of a repository make up a model. No network and no disk: lists in, lists out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from freehold.errors import StoreError
from freehold.store.manifest import is_file_name
from freehold.store.names import ModelName, nearest

SAFETENSORS = "safetensors"
INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_BESIDE_WEIGHTS = frozenset({
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja",
    "chat_template.json", "tekken.json", "README.md", "LICENSE", "LICENSE.txt", "LICENSE.md",
    "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json",
})  # fmt: skip
# How sentence-transformers describes what follows an encoder.
_MODULE_SETTINGS = re.compile(r"\d+_[A-Za-z]+/config\.json")
_BESIDE_SUFFIXES = (".tiktoken",)
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_NOT_A_MODEL = re.compile(r"(^|[-._])(mmproj|imatrix)([-._]|$)", re.IGNORECASE)
_SPLIT = re.compile(r"(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})")
_QUANTISATION = re.compile(
    r"(?:^|[-._])(?P<label>(?:UD-)?(?:(?:I?Q|TQ)\d(?:_[A-Z0-9]+)*|BF16|FP?16|FP?32|MXFP4))$", re.I
)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in a repository on the hub.

    Attributes:
        path: its path there.
        size: bytes.
        sha256: of its content, where the hub knows it (large files); else None.
        git_id: the SHA-1 git would give its content, where sha256 is None.
    """

    path: str
    size: int
    sha256: str | None = None
    git_id: str | None = None

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True, slots=True)
class Selection:
    """The files to fetch for one variant of a model; entry is the GGUF file to open, "" for a safetensors folder."""

    variant: str
    entry: str
    files: tuple[RemoteFile, ...]

    def stored_name(self, file: RemoteFile) -> str:
        """The file's place in the model's folder: GGUF files lie side by side, wherever the repository has them."""
        return file.name if self.entry else file.path


def holds_safetensors(listing: Iterable[RemoteFile]) -> bool:
    """Whether the repository has safetensors weights at its top."""
    return any(file.path in (_SINGLE, INDEX) for file in listing)


def has_index(listing: Iterable[RemoteFile]) -> bool:
    """Whether the weights are spread over the files that an index names."""
    paths = {file.path for file in listing}
    return INDEX in paths and _SINGLE not in paths


def select_safetensors(name: ModelName, listing: Sequence[RemoteFile], index: bytes | None) -> Selection:
    """Weights, configuration and tokenizer at the top of the repository; nothing that could run.

    Args:
        index: content of model.safetensors.index.json, where `has_index` says that there is one.

    Raises:
        StoreError: there are no safetensors weights, or the index names files that are not there.
    """
    present = {file.path: file for file in listing}
    if _SINGLE in present:
        weights = [_SINGLE]
    elif index is not None:
        weights = [INDEX, *_shards(name, index)]
    else:
        raise _no_weights(name, listing)
    missing = [path for path in [*weights, "config.json"] if path not in present]
    if missing:
        raise StoreError(f"{name} is incomplete on the hub: it lacks {', '.join(missing[:3])}")
    beside = [path for path in present if path in _BESIDE_WEIGHTS or _is_beside(path)]
    return Selection(SAFETENSORS, "", tuple(present[path] for path in sorted({*weights, *beside})))


def select_gguf(name: ModelName, listing: Sequence[RemoteFile]) -> Selection:
    """The one GGUF file, or the parts of the one split file, that the name's variant picks.

    Raises:
        StoreError: there is none, or more than one to choose from; the choices are listed.
    """
    variants = gguf_variants(listing)
    if not variants:
        raise _no_weights(name, listing)
    if name.variant is None:
        if len(variants) > 1:
            raise StoreError(
                f"{name} has {len(variants)} GGUF files: {', '.join(variants)}", hint=_choose(name, variants)
            )
        variant = next(iter(variants))
    else:
        variant = _matching(name, name.variant, variants)
    parts = variants[variant]
    if not all(is_file_name(part.name) for part in parts):
        raise StoreError(f"{parts[0].path!r} in {name} has a name that cannot be stored")
    return Selection(variant, parts[0].name, parts)


def gguf_variants(listing: Iterable[RemoteFile]) -> dict[str, tuple[RemoteFile, ...]]:
    """Label -> file or complete split parts; the label is the quantisation, or the file's name where two share one."""
    groups: dict[tuple[str, str], list[RemoteFile]] = {}
    expected: dict[tuple[str, str], int] = {}
    for file in sorted(listing, key=lambda file: file.path):
        path = PurePosixPath(file.path)
        if path.suffix.lower() != ".gguf" or _NOT_A_MODEL.search(path.stem):
            continue
        split = _SPLIT.fullmatch(path.stem)
        key = (str(path.parent), _stem(file.path))
        groups.setdefault(key, []).append(file)
        expected[key] = int(split["parts"]) if split else 1
    complete = {key: parts for key, parts in groups.items() if len(parts) == expected[key]}
    labels = [_label(stem) for _, stem in complete]
    return {
        label if labels.count(label) == 1 else _as_label(stem): tuple(parts)
        for (label, ((_, stem), parts)) in zip(labels, complete.items(), strict=True)
    }


def _stem(path: str) -> str:
    stem = PurePosixPath(path).stem
    split = _SPLIT.fullmatch(stem)
    return split["stem"] if split else stem


def _label(stem: str) -> str:
    match = _QUANTISATION.search(stem)
    return match["label"].upper() if match else _as_label(stem)


def _as_label(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", stem).strip("-._")


def _matching(name: ModelName, wanted: str, variants: dict[str, tuple[RemoteFile, ...]]) -> str:
    for label, parts in variants.items():
        if wanted.casefold() in (label.casefold(), _as_label(_stem(parts[0].path)).casefold()):
            return label
    close = nearest(wanted, variants)
    listed = ", ".join(variants)
    hint = f"did you mean {name.repository}:{close[0]}?" if close else _choose(name, variants)
    raise StoreError(f"{name.repository} has no {wanted}; it has {listed}", hint=hint)


def _choose(name: ModelName, variants: Iterable[str]) -> str:
    labels = list(variants)
    example = next((label for label in labels if label == "Q4_K_M"), labels[0])
    return f"choose one, for example freehold pull {name.repository}:{example}"


def _shards(name: ModelName, index: bytes) -> list[str]:
    try:
        weight_map = json.loads(index)["weight_map"]
        shards = sorted(set(weight_map.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{INDEX} of {name} is not a weight index: {error!r}") from error
    for shard in shards:
        if not isinstance(shard, str) or not is_file_name(shard) or not shard.endswith(".safetensors"):
            raise StoreError(f"{INDEX} of {name} names {shard!r}, which is not a safetensors file beside it")
    return shards


def _is_beside(path: str) -> bool:
    return (path.endswith(_BESIDE_SUFFIXES) and is_file_name(path)) or _MODULE_SETTINGS.fullmatch(path) is not None


def _no_weights(name: ModelName, listing: Iterable[RemoteFile]) -> StoreError:
    pickles = [file.path for file in listing if file.path.endswith(_PICKLES)]
    if pickles:
        return StoreError(
            f"{name} has only weights that can run code when opened, such as {pickles[0]}, and Freehold refuses those",
            hint="look for a copy of the model with safetensors or GGUF files",
        )
    return StoreError(f"{name} has neither safetensors nor GGUF weights")
