"""Reading the catalogue's files, strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from freehold.catalogue.entries import COMMERCIAL_USE, Entry, Family, Licence, Release
from freehold.catalogue.table import Table

TAG = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
_FORMATS = frozenset({"FP8", "GPTQ", "AWQ"})
_STORED = frozenset({"F32", "F16", "BF16", "FP8", "MXFP4"})
_PER_MODEL = ("tag", "hub", "base", "parameters", "active", "quantised")


def read_licences(path: Path) -> dict[str, Licence]:
    """Identifier -> licence.

    Raises:
        CatalogueError: the file is damaged; file and key are named.
    """
    top = Table.read(path)
    licences = {}
    for name in top:
        table = top.table(name)
        commercial = table.text("commercial", None)
        if commercial is not None and commercial not in COMMERCIAL_USE:
            table.refuse("commercial", f"is {commercial!r}; must be one of {', '.join(COMMERCIAL_USE)}")
        licences[name] = Licence(
            id=name,
            name=table.text("name"),
            url=table.text("url", None),
            commercial=commercial,
            monthly_users=table.count("monthly_users", None),
            attribution=table.text("attribution", None),
            acceptable_use=table.text("acceptable_use", None),
            obligations=table.texts("obligations", ()),
        )
        table.finish()
    return licences


def read_languages(path: Path) -> dict[str, str]:
    """ISO 639 code -> English name.

    Raises:
        CatalogueError: the file is damaged; file and key are named.
    """
    top = Table.read(path)
    return {code: top.text(code) for code in top}


def read_family(path: Path, licences: Mapping[str, Licence], languages: Mapping[str, str]) -> Family:
    """A family from its file, whose name it must bear.

    Raises:
        CatalogueError: the file is damaged, or does not say what it must; file and key are named.
    """
    top = Table.read(path)
    name = top.matching("name", TAG)
    if name != path.stem:
        top.refuse("name", f"is {name!r}, but the file is {path.name}")
    shared = top.table("shared")
    for key in _PER_MODEL:
        if shared.has(key):
            shared.refuse(key, "belongs to each model")
    configuration = shared.table("configuration").content()
    reader = _Reader(name, shared, configuration, licences, languages)
    entries = tuple(reader.entry(model) for model in top.tables("model"))
    default = top.text("default")
    if default not in {entry.tag for entry in entries}:
        top.refuse("default", f"is {default!r}, which is no model's tag")
    _check_names(top, entries)
    family = Family(
        name, top.text("title"), top.text("maker"), default, entries, top.get("active_counts_embedding", bool, True)
    )
    top.finish()
    return family


class _Reader:
    """Reads the models of one family."""

    def __init__(
        self,
        family: str,
        shared: Table,
        configuration: dict[str, Any],
        licences: Mapping[str, Licence],
        languages: Mapping[str, str],
    ) -> None:
        self._family = family
        self._shared = shared
        self._configuration = configuration
        self._licences = licences
        self._languages = languages

    def entry(self, model: Table) -> Entry:
        table = model.over(self._shared)
        table.get("configuration", dict, {})
        configuration = {**self._configuration, **model.table("configuration").content()}
        stored = table.text("stored", None)
        if stored is not None and stored not in _STORED:
            table.refuse("stored", f"is {stored!r}; must be one of {', '.join(sorted(_STORED))}")
        parameters, active = table.count("parameters", None), table.count("active", None)
        if active is not None and (parameters is None or active >= parameters):
            table.refuse("active", f"is {active}, not below the parameters ({parameters})")
        entry = Entry(
            family=self._family,
            tag=table.matching("tag", TAG),
            hub=table.hub("hub"),
            architecture=table.text("architecture"),
            licences=self._licences_of(table),
            parameters=parameters,
            active=active,
            context=table.count("context", None),
            languages=self._languages_of(table),
            stored=stored,
            released=table.day("released", None),
            releases=_releases(table),
            configuration=None if parameters is None else configuration,
        )
        table.finish()
        return entry

    def _licences_of(self, table: Table) -> tuple[Licence, ...]:
        names = table.text("licence").split(" AND ")
        for name in names:
            if name not in self._licences:
                table.refuse("licence", f"names {name!r}, which licences.toml does not describe")
        return tuple(self._licences[name] for name in names)

    def _languages_of(self, table: Table) -> tuple[str, ...]:
        codes = table.texts("languages", ())
        for code in codes:
            if code not in self._languages:
                table.refuse("languages", f"holds {code!r}, which languages.toml does not name")
        return codes


def _releases(table: Table) -> tuple[Release, ...]:
    base = table.hub("base", None)
    releases = [] if base is None else [Release("base", "base", base)]
    for quantised in table.tables("quantised", []):
        kind = quantised.text("format")
        if kind == "GGUF":
            files = quantised.text("files")
            if files.count("{type}") != 1 or not files.endswith(".gguf"):
                quantised.refuse("files", f"is {files!r}; it must hold {{type}} once and end in .gguf")
            hub = quantised.hub("hub")
            releases += [Release(kind, variant.casefold(), hub, variant, files) for variant in quantised.texts("types")]
        elif kind in _FORMATS:
            releases.append(Release(kind, quantised.matching("tag", TAG), quantised.hub("hub")))
        else:
            quantised.refuse("format", f"is {kind!r}; must be GGUF or one of {', '.join(sorted(_FORMATS))}")
        quantised.finish()
    return tuple(releases)


def _check_names(top: Table, entries: tuple[Entry, ...]) -> None:
    """Every short name must mean one thing."""
    names = [entry.tag for entry in entries]
    names += [f"{entry.tag}-{release.tag}" for entry in entries for release in entry.releases]
    for name in names:
        if names.count(name) > 1:
            top.refuse("model", f"gives the tag {name!r} twice")
