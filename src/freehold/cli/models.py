"""`freehold models`: the models that can be pulled by a short name."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import Annotated, Any

import typer

from freehold.catalogue import Entry, Licence, family, find, search
from freehold.catalogue.finding import languages
from freehold.cli.options import JsonOption
from freehold.cli.output import human_count, print_json, print_table, terminal_width
from freehold.errors import ModelNotFound

HEADER = ["NAME", "PARAMETERS", "ACTIVE", "CONTEXT", "LICENCE", "LANGUAGES", "RELEASED"]
OPTIONAL = ["LANGUAGES", "RELEASED", "ACTIVE", "LICENCE", "CONTEXT"]
_COMMERCIAL = {"yes": "yes", "conditions": "under conditions", "no": "no"}
_LABEL = 16
_NARROWEST, _WIDEST = 40, 120


def command(
    query: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUERY", help="A name, for its details; or words of name, family, licence, language."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the models of the catalogue, or those that all words fit, or describe one with what its licence asks for."""
    words = query or []
    exact = _exact(words)
    found = search(words) if exact is None else [exact]
    if not found:
        raise ModelNotFound(
            f"the catalogue has no model for {' '.join(words)!r}",
            hint="freehold models lists all; freehold pull org/name takes any other from the hub",
        )
    if json:
        print_json([_as_json(entry) for entry in found])
    elif exact is not None:
        _describe(exact)
    else:
        print_table(HEADER, [_row(entry) for entry in found], optional=OPTIONAL)


def _exact(words: list[str]) -> Entry | None:
    """The model that a single word names, with its tag unless the family has but one."""
    target = find(words[0]) if len(words) == 1 else None
    if target is None:
        return None
    known = family(target.entry.family)
    assert known is not None
    return target.entry if ":" in words[0] or len(known.entries) == 1 else None


def _row(entry: Entry) -> list[str]:
    shown = ", ".join(entry.languages[:3]) + (f" +{len(entry.languages) - 3}" if len(entry.languages) > 3 else "")
    return [
        entry.name,
        _count(entry.parameters),
        _count(entry.active),
        str(entry.context or ""),
        entry.licence,
        shown,
        str(entry.released or ""),
    ]


def _count(number: int | None) -> str:
    return "" if number is None else human_count(number)


def _as_json(entry: Entry) -> dict[str, Any]:
    released = None if entry.released is None else entry.released.isoformat()
    releases = [{"name": f"{entry.name}-{release.tag}", **asdict(release)} for release in entry.releases]
    licences = [asdict(licence) for licence in entry.licences]
    values = {"licence": entry.licence, "licences": licences, "released": released, "releases": releases}
    configuration = None if entry.configuration is None else dict(entry.configuration)
    return {"name": entry.name, **asdict(entry), **values, "configuration": configuration}


def _describe(entry: Entry) -> None:
    known = family(entry.family)
    assert known is not None
    active = "" if entry.active is None else f", {human_count(entry.active)} of them active for each token"
    rows = {
        "family": f"{known.title}, by {known.maker}",
        "hub": entry.hub,
        "architecture": entry.architecture,
        "parameters": "" if entry.parameters is None else f"{human_count(entry.parameters)}{active}",
        "context": "" if entry.context is None else f"{entry.context} tokens",
        "languages": ", ".join(languages()[code] for code in entry.languages),
        "stored as": entry.stored or "",
        "released": str(entry.released or ""),
    }
    print(entry.name)
    for label, value in rows.items():
        _print_row(label, value)
    for licence in entry.licences:
        _describe_licence(licence)
    if entry.releases:
        print("\nfurther forms")
    for (form, place), names in _forms(entry).items():
        _print_row(form, f"{place}: {', '.join(names)}")


def _forms(entry: Entry) -> dict[tuple[str, str], list[str]]:
    """Format and place of each further form -> the short names there."""
    forms: dict[tuple[str, str], list[str]] = {}
    for release in entry.releases:
        place = release.hub if release.files is None else f"{release.hub}, {release.files}"
        forms.setdefault((release.format, place), []).append(f"{entry.name}-{release.tag}")
    return forms


def _describe_licence(licence: Licence) -> None:
    users = None if licence.monthly_users is None else f"above {licence.monthly_users:,} a month, ask the licensor"
    rows = {
        "text": licence.url or "in the model's repository",
        "commercial use": "not established; read it" if licence.commercial is None else _COMMERCIAL[licence.commercial],
        "users": users or "",
        "attribution": licence.attribution or "",
        "acceptable use": licence.acceptable_use or "",
        "obligations": "; ".join(licence.obligations),
    }
    print(f"\n{licence.id}: {licence.name}")
    for label, value in rows.items():
        _print_row(label, value)


def _print_row(label: str, value: str) -> None:
    """A label and its value, in lines that fit the terminal; nothing where there is no value."""
    if not value:
        return
    width = min(max(terminal_width() or _WIDEST, _NARROWEST), _WIDEST)
    start = f"  {label:<{_LABEL}}"
    print(textwrap.fill(value, width, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False))
