"""The models on this machine: finding one by name, listing them."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from freehold.catalogue import Target, entry_of, find, short_names
from freehold.errors import ModelNotFound, StoreError
from freehold.store.home import MANIFEST, Home
from freehold.store.manifest import Manifest
from freehold.store.names import HUB_PREFIX, ModelName, model_name, nearest
from freehold.store.selection import SAFETENSORS

BUNDLED = ("pebble",)
_CARD_LICENCE = re.compile(r"^license:\s*(\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model that can be run by name.

    Attributes:
        name: what to call it: "pebble", "org/name" or "org/name:Q4_K_M".
        path: the folder or GGUF file.
        format: "safetensors" or "gguf".
        size: bytes on disk.
        source: the endpoint and repository it was pulled from, or "bundled".
        revision: the commit it was pulled from; None where it is bundled.
        licence: as its model card states it, or None.
        pulled: when it was pulled, in ISO 8601; None where it is bundled.
        problem: what is wrong with it on disk; None where nothing is.
    """

    name: str
    path: Path
    format: str
    size: int
    source: str
    revision: str | None = None
    licence: str | None = None
    pulled: str | None = None
    problem: str | None = None


def resolve(name: str, *, home: Home | None = None) -> Path:
    """The folder or file that a name stands for.

    A bundled or pulled name comes before a folder of the same spelling; `./name` always means the folder. A short name
    of the catalogue means what it was pulled as.

    Raises:
        ModelNotFound: there is nothing of that name; the nearest names are in the hint.
        StoreError: the model is there but damaged, or the name fits several variants.
    """
    home = home or Home.from_environment()
    if name in BUNDLED:
        return bundled_path(name)
    if (found := _pulled(home, name)) is not None:
        return found
    return _local(home, name)


def list_models(home: Home | None = None) -> list[StoredModel]:
    """The bundled models, then the pulled ones by name. A damaged one is listed with its problem."""
    home = home or Home.from_environment()
    return [*(bundled_model(name) for name in BUNDLED if bundled_path(name).is_dir()), *_stored(home)]


def stored_model(home: Home, name: ModelName, variant: str) -> StoredModel:
    """One pulled model, with its problem if its files are not as the manifest says."""
    folder = home.variant(name, variant)
    try:
        manifest = Manifest.read(folder / MANIFEST)
    except StoreError as error:
        return StoredModel(display_name(name, variant), folder, "unknown", 0, "unknown", problem=error.message)
    return StoredModel(
        name=display_name(name, variant),
        path=folder / manifest.revision / manifest.entry,
        format="gguf" if manifest.entry else SAFETENSORS,
        size=manifest.size,
        source=f"{manifest.endpoint}/{manifest.name}",
        revision=manifest.revision,
        licence=manifest.licence,
        pulled=manifest.pulled,
        problem=complete(folder, manifest),
    )


def complete(folder: Path, manifest: Manifest) -> str | None:
    """What is wrong with the files of a pulled model, by name and size; None where nothing is."""
    for file in manifest.files:
        path = folder / manifest.revision / file.name
        if not path.is_file():
            return f"{file.name} is missing"
        if (size := path.stat().st_size) != file.size:
            return f"{file.name} has {size} bytes instead of {file.size}"
    return None


def bundled_path(name: str) -> Path:
    """Where the package keeps a bundled model."""
    return Path(__file__).parent.parent / "bundled" / name


def bundled_model(name: str) -> StoredModel:
    """A bundled model as the listing shows it."""
    folder = bundled_path(name)
    card = folder / "README.md"
    licence = _CARD_LICENCE.search(card.read_text(encoding="utf-8")) if card.is_file() else None
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return StoredModel(name, folder, SAFETENSORS, size, "bundled", licence=licence[1] if licence else None)


def _named(text: str) -> ModelName | None:
    try:
        return model_name(text)
    except StoreError:
        return None


def _pulled(home: Home, name: str) -> Path | None:
    parsed = _named(name)
    if parsed is None:
        return None
    variants = pulled_variants(home, parsed)
    if parsed.variant is not None:
        chosen = next(filter(parsed.covers, variants), None)
    elif SAFETENSORS in variants or len(variants) == 1:
        chosen = SAFETENSORS if SAFETENSORS in variants else variants[0]
    elif variants:
        raise StoreError(
            f"{name} was pulled as {', '.join(variants)}", hint=f"choose one, for example {name}:{variants[0]}"
        )
    else:
        chosen = None
    if chosen is None:
        return None
    model = stored_model(home, parsed, chosen)
    if model.problem is not None:
        raise StoreError(f"{model.name} is damaged: {model.problem}", hint=f"freehold pull {model.name} repairs it")
    return model.path


def _local(home: Home, name: str) -> Path:
    if not name or "\0" in name or name.startswith(HUB_PREFIX):
        raise not_found(home, name)
    # Unlike the methods of Path, these are also False for what no file system would accept.
    if not os.path.exists(name):
        raise not_found(home, name)
    if not (os.path.isdir(name) or os.path.isfile(name)):
        raise ModelNotFound(f"{name} is neither a folder nor a regular file")
    return Path(name)


def not_found(home: Home, name: str) -> ModelNotFound:
    """The error for a name that stands for nothing, with the nearest names that do."""
    target = find(name)
    here = [model.name for model in _stored(home)]
    close = nearest(name, [*BUNDLED, *here, *short_names()]) if target is None else _other_forms(target, here)
    wanted = "org/name" if _named(name) is None else name
    steps = f"freehold pull {wanted} downloads {'it' if wanted == name else 'one'}, freehold ls lists what is here"
    hint = f"did you mean {' or '.join(close)}? {steps}" if close else steps
    return ModelNotFound(f"there is no model or path {name!r}", hint=hint)


def _other_forms(target: Target, here: list[str]) -> list[str]:
    """What was pulled of the same model in another form."""
    return [name for name in here if entry_of(ModelName.parse(name).repository) == target.entry]


def _stored(home: Home) -> Iterator[StoredModel]:
    for manifest in sorted(home.models.glob(f"*/*/*/{MANIFEST}")):
        organisation, name, variant = manifest.parent.parts[-3:]
        yield stored_model(home, ModelName(organisation, name), variant)


def pulled_variants(home: Home, name: ModelName) -> list[str]:
    """The variants of a repository that are installed."""
    return sorted(path.parent.name for path in home.repository(name).glob(f"*/{MANIFEST}"))


def display_name(name: ModelName, variant: str) -> str:
    """What a person calls that variant: the repository alone means safetensors."""
    return name.repository if variant == SAFETENSORS else f"{name.repository}:{variant}"
