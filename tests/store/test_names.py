"""Model names: what is one, what is not, and that none of them leaves the home folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.errors import StoreError
from freehold.store import Home
from freehold.store.names import ModelName, nearest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/name", ModelName("org", "name")),
        ("hf:org/name", ModelName("org", "name")),
        ("org/name:Q4_K_M", ModelName("org", "name", "Q4_K_M")),
        ("hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:q8_0", ModelName("Qwen", "Qwen2.5-0.5B-Instruct-GGUF", "q8_0")),
    ],
)
def test_names(text: str, expected: ModelName) -> None:
    assert ModelName.parse(text) == expected
    assert ModelName.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "/name",
        "org/",
        "org//name",
        "a/b/c",
        "../name",
        "org/..",
        "org/a..b",
        "./name",
        "org/.hidden",
        "/etc/passwd",
        "C:/name",
        "C:\\name\\x",
        "org\\name",
        "org/name\0",
        "org/name\n",
        "org/name:",
        "org/name:../x",
        "org/name:a:b",
        "org/na me",
        "org/näme",
        "hf:hf:org/name",
        "https://example.org/x",
        "~/name",
        "org/" + "n" * 97,
    ],
)
def test_what_is_not_a_name_is_refused(text: str) -> None:
    with pytest.raises(StoreError, match="is not a model name"):
        ModelName.parse(text)


@given(st.text(max_size=40) | st.from_regex(r"[a-zA-Z./\\:~%-]{1,20}/[a-zA-Z./\\:~%-]{1,20}(:[.a-z/-]+)?"))
def test_whatever_is_accepted_stays_inside_the_home_folder(text: str) -> None:
    home = Home(Path("/home-folder"))
    try:
        name = ModelName.parse(text)
    except StoreError:
        return
    for folder in (home.variant(name, name.variant or "safetensors"), home.downloads(name, name.variant or "x")):
        assert ".." not in folder.parts
        assert len(folder.parts) == len(home.path.parts) + 4
        assert folder.is_relative_to(home.path)


def test_nearest_ignores_case_and_gives_the_most_alike_first() -> None:
    names = ["pebble", "Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-1.5B", "unlike"]
    assert nearest("pebbel", names) == ["pebble"]
    assert nearest("qwen/qwen2.5-0.5b", names)[0] == "Qwen/Qwen2.5-0.5B"
    assert nearest("zzz", names) == []
