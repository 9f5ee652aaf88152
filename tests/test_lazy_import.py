from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import freehold
from freehold.engine.types import EngineKeywords, EngineOptions


def test_importing_freehold_is_light() -> None:
    heavy = "{'numpy', 'torch', 'tokenizers', 'fastapi', 'jinja2'}"
    code = f"import sys, freehold, freehold.engine.types; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_public_names() -> None:
    assert freehold.__all__ == ["Model", "__version__", "load"]
    assert set(freehold.__all__) <= set(dir(freehold))


def test_every_engine_option_is_a_keyword() -> None:
    names = {field.name for field in fields(EngineOptions)}
    assert names == set(EngineKeywords.__annotations__) | {"context_length"}
