"""The catalogue's files are read strictly: what is wrong is named by file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from freehold.catalogue.entries import Family, Licence
from freehold.catalogue.reading import read_family, read_languages, read_licences
from freehold.errors import CatalogueError

FREE = Licence("MIT", "MIT License", commercial="yes", attribution="keep the notice")
BOUND = Licence("LicenseRef-Bound", "Bound License", commercial="conditions", monthly_users=5_000_000)
LICENCES = {"MIT": FREE, "LicenseRef-Bound": BOUND}
LANGUAGES = {"en": "English", "de": "German"}
GOOD = """
name = "tiny"
title = "Tiny"
maker = "Us"
default = "1b"

[shared]
architecture = "LlamaForCausalLM"
licence = "MIT"
languages = ["en"]

[shared.configuration]
hidden_size = 8
vocab_size = 16

[[model]]
tag = "1b"
hub = "us/tiny-1b"
base = "us/tiny-1b-base"
parameters = 1_000
context = 64
released = 2024-02-29
configuration = { hidden_size = 4 }
quantised = [
    { format = "GGUF", hub = "us/tiny-1b-GGUF", files = "tiny-1b.{type}.gguf", types = ["Q4_K_M", "q8_0"] },
    { format = "FP8", tag = "fp8", hub = "us/tiny-1b-FP8" },
]

[[model]]
tag = "9b"
hub = "us/tiny-9b"
licence = "MIT AND LicenseRef-Bound"
languages = ["de", "en"]
parameters = 9_000
active = 3_000
"""


def read(folder: Path, text: str) -> Family:
    path = folder / "tiny.toml"
    path.write_text(text)
    return read_family(path, LICENCES, LANGUAGES)


def test_models_take_what_they_do_not_say_from_what_is_shared(tmp_path: Path) -> None:
    family = read(tmp_path, GOOD)
    first, second = family.entries
    assert (family.title, family.maker, family.default) == ("Tiny", "Us", "1b")
    assert (first.name, first.hub, first.architecture) == ("tiny:1b", "us/tiny-1b", "LlamaForCausalLM")
    assert (first.licences, second.licences) == ((FREE,), (FREE, BOUND))
    assert (first.languages, second.languages) == (("en",), ("de", "en"))
    assert first.configuration == {"hidden_size": 4, "vocab_size": 16}
    assert second.configuration == {"hidden_size": 8, "vocab_size": 16}
    assert first.released is not None
    assert first.released.isoformat() == "2024-02-29"
    assert (second.active, second.released, second.context) == (3_000, None, None)


def test_each_gguf_type_is_a_release_of_its_own(tmp_path: Path) -> None:
    releases = read(tmp_path, GOOD).entries[0].releases
    assert [(release.tag, release.hub, release.variant) for release in releases] == [
        ("base", "us/tiny-1b-base", None),
        ("q4_k_m", "us/tiny-1b-GGUF", "Q4_K_M"),
        ("q8_0", "us/tiny-1b-GGUF", "q8_0"),
        ("fp8", "us/tiny-1b-FP8", None),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "tiny"', 'name = "other"', r"tiny\.toml: name is 'other', but the file is tiny\.toml"),
        ('name = "tiny"', 'name = "Tiny"', "name is 'Tiny', which is not of the form"),
        ('name = "tiny"', "", r"tiny\.toml: name is absent"),
        ('default = "1b"', 'default = "2b"', "default is '2b', which is no model's tag"),
        ('title = "Tiny"', 'title = ""', "title is empty"),
        ('maker = "Us"', 'maker = "Us"\nmood = "good"', "mood is not known; known here: .*default"),
        ('licence = "MIT"\n', 'licence = "GPL"\n', r"model\[0\]\.licence names 'GPL'"),
        ('hub = "us/tiny-9b"', 'hub = "tiny-9b"', r"model\[1\]\.hub is 'tiny-9b', which is not of the form"),
        ('hub = "us/tiny-9b"', 'hub = "us/../x"', r"model\[1\]\.hub is 'us/\.\./x'"),
        ('hub = "us/tiny-9b"', "", r"model\[1\]\.hub is absent"),
        ('tag = "9b"', 'tag = "1b"', "gives the tag '1b' twice"),
        ('tag = "9b"', 'tag = "1b-fp8"', "gives the tag '1b-fp8' twice"),
        ("parameters = 9_000", 'parameters = "9B"', r"model\[1\]\.parameters is '9B', which is not of type int"),
        ("parameters = 9_000", "parameters = true", "parameters is True, which is not of type int"),
        ("parameters = 9_000", "parameters = -1", "parameters is -1, which is not above 0"),
        ("active = 3_000", "active = 9_000", "active is 9000, not below the parameters"),
        ("active = 3_000", "aktive = 3_000", r"model\[1\]\.aktive is not known"),
        ("context = 64", "context = 0", "context is 0, which is not above 0"),
        ("2024-02-29", "2024-02-29T10:00:00Z", "released is .*, which is not of type date"),
        ("2024-02-29", "2024-02-30", r"tiny\.toml cannot be read"),
        ('["de", "en"]', '["de", "de"]', "languages is not a list of different texts"),
        ('["de", "en"]', '["xx"]', "languages holds 'xx', which languages.toml does not name"),
        ('format = "FP8"', 'format = "FP7"', r"model\[0\]\.quantised\[1\]\.format is 'FP7'"),
        ('tag = "fp8", ', "", r"quantised\[1\]\.tag is absent"),
        ('"tiny-1b.{type}.gguf"', '"tiny-1b.gguf"', r"quantised\[0\]\.files is 'tiny-1b\.gguf'; it must hold \{type\}"),
        ('["Q4_K_M", "q8_0"]', '"Q4_K_M"', r"quantised\[0\]\.types is 'Q4_K_M', which is not of type list"),
        ("[shared]\n", '[shared]\nhub = "us/all"\n', r"shared\.hub belongs to each model"),
        ("[shared]\n", "[shared]\ncolour = 1\n", r"model\[0\]\.colour is not known"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(CatalogueError, match=message):
        read(tmp_path, GOOD.replace(old, new, 1))


def test_licences_and_languages_are_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "licences.toml"
    path.write_text('[MIT]\nname = "MIT"\ncommercial = "maybe"\n')
    with pytest.raises(CatalogueError, match=r"licences\.toml: MIT\.commercial is 'maybe'; must be one of yes"):
        read_licences(path)
    path.write_text('[MIT]\nname = "MIT"\nsmell = "old"\n')
    with pytest.raises(CatalogueError, match=r"MIT\.smell is not known"):
        read_licences(path)
    path.write_text("en = 1\n")
    with pytest.raises(CatalogueError, match="en is 1, which is not of type str"):
        read_languages(path)
    with pytest.raises(CatalogueError, match=r"absent\.toml cannot be read"):
        read_languages(tmp_path / "absent.toml")


def test_obligations_fit_one_line() -> None:
    licence = Licence(
        "LicenseRef-X",
        "X",
        commercial="conditions",
        monthly_users=700_000_000,
        attribution="show X",
        acceptable_use="https://example.org",
        obligations=("name it after X",),
    )
    assert licence.summary() == (
        "commercial use under conditions; ask the licensor above 700 million monthly users; show X; "
        "an acceptable-use policy applies; name it after X"
    )
    assert Licence("LicenseRef-Y", "Y").summary() == "read it before use"
