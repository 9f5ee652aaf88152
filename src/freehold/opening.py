"""A model from its files: checkpoint, tokenizer and weights."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from freehold.checkpoints import open_checkpoint
from freehold.checkpoints.base import Checkpoint, Naming
from freehold.errors import ConfigError, TokenizerError
from freehold.models import Decoder
from freehold.models.loading import PackedWeights, Progress, load_network
from freehold.models.network import Network
from freehold.ops import create_ops
from freehold.ops.base import CACHE_TYPES, CacheType
from freehold.packed.opening import packed_weights
from freehold.store import resolve
from freehold.store.home import Home
from freehold.tensors import TensorType, WeightType
from freehold.text import Text, load_text, text_from_gguf
from freehold.text.agreement import NamedTokenizer


@dataclass(frozen=True, slots=True)
class Opened:
    """A model whose weights are not loaded yet."""

    name: str
    checkpoint: Checkpoint
    text: Text | None

    def named_tokenizer(self) -> NamedTokenizer:
        """Its tokenizer.

        Raises:
            TokenizerError: it came without tokenizer files.
        """
        return NamedTokenizer(self.name, require_text(self.name, self.text).tokenizer)

    def network(
        self, backend: str, dtype: WeightType | None, cache_type: CacheType | None, progress: Progress | None
    ) -> Network:
        """The model with its weights; see `freehold.load`.

        Raises:
            ConfigError: a type for keys and values was asked for, and the model keeps none.
        """
        ops = create_ops(backend, exact=_is_exact(self.checkpoint, dtype), cache_type=cache_type)
        with _kept_weights(self.checkpoint, backend, dtype) as packed:
            network = load_network(self.checkpoint, ops, dtype, progress, packed)
        if cache_type is not None and not isinstance(network, Decoder):
            raise ConfigError(
                f"cache_type is {cache_type!r}, but {network.config.architecture} embeds texts and keeps no keys and "
                "values",
                hint="load it without cache_type",
            )
        return network


def open_model(name_or_path: str | Path) -> Opened:
    """Find a model and read all but its weights; see `freehold.load`."""
    path = resolve(str(name_or_path))
    checkpoint = open_checkpoint(path)
    text = text_from_gguf(checkpoint.config) if checkpoint.naming is Naming.GGUF else load_text(path)
    return Opened(path.name if isinstance(name_or_path, Path) else name_or_path, checkpoint, text)


def require_decoder(network: Network) -> Decoder:
    """A model that writes text.

    Raises:
        ConfigError: it embeds.
    """
    if not isinstance(network, Decoder):
        raise ConfigError(
            f"{network.config.architecture} embeds texts; it does not write any",
            hint="freehold embed, or embed() in Python, turns texts into vectors",
        )
    return network


def require_text(name: str, text: Text | None) -> Text:
    """What turns text into tokens.

    Raises:
        TokenizerError: the model came without tokenizer files.
    """
    if text is None:
        raise TokenizerError(
            f"model {name!r} came without tokenizer files, so it cannot read or write text",
            hint="put tokenizer.json (or tokenizer.model) beside its weights; logits() works on token ids",
        )
    return text


def weight_type(dtype: str | None) -> WeightType | None:
    """The type of that name.

    Raises:
        ConfigError: there is none.
    """
    if dtype is None:
        return None
    if dtype not in list(WeightType):
        raise ConfigError(f"dtype is {dtype!r}; known: {', '.join(WeightType)}")
    return WeightType(dtype)


def cache_type_of(name: str | None) -> CacheType | None:
    """The type of that name, for keys and values.

    Raises:
        ConfigError: there is none.
    """
    for known in CACHE_TYPES:
        if name == known:
            return known
    if name is not None:
        raise ConfigError(f"cache_type is {name!r}; known: {', '.join(CACHE_TYPES)}")
    return None


def _kept_weights(
    checkpoint: Checkpoint, backend: str, dtype: WeightType | None
) -> AbstractContextManager[PackedWeights | None]:
    """Only the native backend packs anything."""
    return packed_weights(checkpoint, dtype, Home.from_environment().packed) if backend == "native" else nullcontext()


def _is_exact(checkpoint: Checkpoint, dtype: WeightType | None) -> bool:
    """Whether the model is to be held in float32: because that was asked for, or because it is stored so."""
    if dtype is not None:
        return dtype is WeightType.F32
    return all(info.type is TensorType.F32 for info in checkpoint.tensors.values())
