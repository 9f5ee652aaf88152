"""What is to be fitted: a folder, a file, a pulled model, or one that is still on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from freehold.catalogue import Entry, entry_of, families, find
from freehold.checkpoints import Checkpoint, MemoryCheckpoint, Naming, open_checkpoint
from freehold.checkpoints.huggingface import CONFIG
from freehold.checkpoints.json_text import read_object
from freehold.checkpoints.limits import MAX_CONFIG_BYTES
from freehold.errors import ModelNotFound, StoreError
from freehold.fitting.parts import Part, Stored, parts_of
from freehold.fitting.stored import QUANTISED, release_of
from freehold.models.loading import locate, outline
from freehold.models.network import Network
from freehold.store import list_models, resolve
from freehold.store.configuration import fetch_configuration
from freehold.store.names import ModelName, model_name
from freehold.tensors import TensorType

_WEIGHTS = (".safetensors", ".gguf")
# What config.json says where the catalogue gives this as the type of the released weights.
_WORDS: Mapping[str, Mapping[str, Any]] = {
    "F32": {"dtype": "float32"},
    "F16": {"dtype": "float16"},
    "BF16": {"dtype": "bfloat16"},
    "FP8": {"dtype": "bfloat16", QUANTISED: {"quant_method": "fp8"}},
    "MXFP4": {"dtype": "bfloat16", QUANTISED: {"quant_method": "mxfp4"}},
}
_UNKNOWN: Mapping[str, Any] = {"dtype": "bfloat16", QUANTISED: {}}


@dataclass(frozen=True)
class Subject:
    """A model without its weights.

    Attributes:
        name: what it is called.
        model: its tree of leaves, without operations.
        parts: of the model.
        stored: how each parameter is stored; as a float where that is not known.
        is_known: whether it is known of all.
        exact: every weight is float32, so that the cache is too.
        licence: as an identifier, or None.
    """

    name: str
    model: Network
    parts: list[Part]
    stored: Stored
    is_known: bool
    exact: bool
    licence: str | None

    @property
    def counts_embedding(self) -> bool:
        """How the makers of this architecture's models count active parameters, see `active_parameters`."""
        architecture = self.model.config.architecture
        makers = [one for one in families() if any(entry.architecture == architecture for entry in one.entries)]
        return all(one.active_counts_embedding for one in makers)


def find_subject(name: str) -> Subject:
    """A model by name, folder or file.

    What is on this machine comes first, then the catalogue; at last config.json is fetched from the hub.

    Raises:
        ModelNotFound: there is nothing of that name.
        DownloadError, StoreError: the hub did not give its config.json.
        ConfigError: it is of an architecture, or has a value, that we do not know.
    """
    try:
        path = resolve(name)
    except ModelNotFound:
        target = find(name)
        if target is not None:
            return subject_of(target.entry)
        repository = _repository(name)
        if repository is None:
            raise
        return _from_config(name, _fetched(repository), entry_of(repository))
    return _from_disk(name, path)


def subject_of(entry: Entry) -> Subject:
    """A model of the catalogue, whose config.json is fetched where the catalogue does not know all that matters."""
    if not is_described(entry):
        return _from_config(entry.name, _fetched(entry.hub), entry)
    assert entry.configuration is not None
    words = _UNKNOWN if entry.stored is None else _WORDS[entry.stored]
    return _from_config(entry.name, {"architectures": [entry.architecture], **entry.configuration, **words}, entry)


def is_described(entry: Entry) -> bool:
    """Whether the catalogue alone says enough of a model to fit it."""
    return entry.configuration is not None and entry.context is not None


def _from_disk(name: str, path: Path) -> Subject:
    entry, licence = _known(name, path)
    if path.suffix == ".json":
        return _from_config(name, read_object(path, MAX_CONFIG_BYTES), entry)
    if path.is_dir() and not any(file.suffix in _WEIGHTS for file in path.iterdir()):
        return _from_config(name, read_object(path / CONFIG, MAX_CONFIG_BYTES), entry)
    return subject_in(name, open_checkpoint(path), licence)


def _known(name: str, path: Path) -> tuple[Entry | None, str | None]:
    """The catalogue's entry and the licence of what lies at a path."""
    for stored in list_models():
        if stored.path == path:
            entry = entry_of(stored.name.partition(":")[0])
            return entry, stored.licence if entry is None else entry.licence
    return None, None


def subject_in(name: str, checkpoint: Checkpoint, licence: str | None) -> Subject:
    """The model that a checkpoint holds.

    Raises:
        ConfigError, WeightMapError: a value cannot be honoured, or a tensor is missing, left over or misshapen.
    """
    model = outline(checkpoint)
    locations = locate(model, checkpoint)
    return Subject(
        name=name,
        model=model,
        parts=parts_of(model),
        stored=lambda parameter: locations[parameter].info(checkpoint, parameter),
        is_known=True,
        exact=all(info.type is TensorType.F32 for info in checkpoint.tensors.values()),
        licence=licence,
    )


def _from_config(name: str, config: Mapping[str, Any], entry: Entry | None) -> Subject:
    shape = {key: value for key, value in config.items() if key != QUANTISED}
    model = outline(MemoryCheckpoint(shape, {}, Naming.HUGGING_FACE, Path(name)))
    parts, release = parts_of(model), release_of(config)
    return Subject(
        name=name,
        model=model,
        parts=parts,
        stored=release.stored(parts),
        is_known=release.matrices is not None,
        exact=release.matrices is TensorType.F32,
        licence=None if entry is None else entry.licence,
    )


def _repository(name: str) -> str | None:
    """owner/name, where the text is a name on the hub."""
    try:
        return ModelName.parse(name).repository
    except StoreError:
        return None


def _fetched(repository: str) -> Mapping[str, Any]:
    with TemporaryDirectory() as folder:
        return read_object(fetch_configuration(model_name(repository), Path(folder)), MAX_CONFIG_BYTES)
