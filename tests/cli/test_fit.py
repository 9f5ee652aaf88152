"""`freehold fit`: folders, files, pulled models, the catalogue, the hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from freehold.cli import main
from tests.fitting.models import LLAMA
from tests.support.assets import asset
from tests.support.hub import FakeHub, FakeRepository, running_hub
from tests.support.tiny_folder import write_tiny_model


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 GB of memory, read at 40 GB/s; and no way to a hub."""
    monkeypatch.setattr("freehold.fitting.measuring.measure", lambda: 40e9)
    monkeypatch.setattr("freehold.ops.memory.available_bytes", lambda: 24 * 10**9)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    for variable in ("HF_HUB_OFFLINE", "HF_TOKEN", "http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing but a config.json."""
    path = tmp_path / "small"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(LLAMA | {"torch_dtype": "bfloat16"}))
    return path


def fitted(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code = main(["fit", *arguments, "--json"])
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    return json.loads(printed.out)


def test_configuration_is_enough(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = fitted(capsys, str(folder), "--context", "128", "--users", "3")
    assert found["architecture"] == "LlamaForCausalLM"
    assert found["parameters"] == found["active_parameters"]
    assert found["cache_bytes_per_token"] == 3 * 2 * 2 * (12 + 16)  # layers, KV heads, bytes, key and filled-up value
    assert found["cache_bytes"] == 3 * 128 * found["cache_bytes_per_token"]
    assert 2 * found["parameters"] <= found["weight_bytes"] < 2.1 * found["parameters"]
    assert (found["dtype"], found["context"], found["users"], found["fits"]) == (None, 128, 3, True)
    assert found["available_bytes"] == 24 * 10**9
    assert found["bandwidth"]["bytes_per_second"] == 40e9
    assert [one["dtype"] for one in found["estimates"]] == [None, "f32", "f16", "q8", "q4"]
    assert (
        fitted(capsys, str(folder / "config.json"), "--context", "128", "--users", "3")["parameters"]
        == found["parameters"]
    )


def test_one_type(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = fitted(capsys, str(folder), "--dtype", "q4")
    assert (found["dtype"], len(found["estimates"])) == ("q4", 1)
    assert found["weight_bytes"] < found["parameters"]


def test_a_cache_of_codes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = fitted(capsys, str(folder), "--context", "128", "--users", "3")
    found = fitted(capsys, str(folder), "--context", "128", "--users", "3", "--cache-type", "q8")
    assert (plain["cache_type"], found["cache_type"]) == (None, "q8")
    assert found["cache_bytes_per_token"] == 3 * 2 * (12 + 16 + 2 * 2)  # a scale of two bytes for a key and for a value
    assert found["cache_bytes"] == 3 * 128 * found["cache_bytes_per_token"]
    assert found["weight_bytes"] == plain["weight_bytes"]
    assert found["tokens_per_second"] > plain["tokens_per_second"]
    assert main(["fit", str(folder), "--cache-type", "q8"]) == 0
    assert "of context each kept in q8, tokens/s" in capsys.readouterr().out


def test_model_with_weights_is_counted_as_it_is_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    found = fitted(capsys, str(folder))
    assert main(["show", str(folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    for key in ("parameters", "weight_bytes", "cache_bytes", "architecture", "context"):
        assert found[key] == shown[key]
    assert main(["export", str(folder), "--format", "gguf", "--dtype", "q8", "--output", str(tmp_path / "x.gguf")]) == 0
    capsys.readouterr()
    quantised = fitted(capsys, str(tmp_path / "x.gguf"))
    assert quantised["weight_bytes"] < 0.4 * found["weight_bytes"]


def test_catalogue_needs_no_network(capsys: pytest.CaptureFixture[str]) -> None:
    found = fitted(capsys, "llama3.3")
    assert (found["name"], found["parameters"]) == ("llama3.3:70b", 70_553_706_496)
    assert (found["licence"], found["fits"], found["best"]) == ("LicenseRef-Llama-3.3", False, None)
    assert found["cache_bytes_per_token"] == 80 * 8 * 128 * 2 * 2
    found = fitted(capsys, "qwen2.5:0.5b-q4_k_m")
    assert (found["name"], found["best"]) == ("qwen2.5:0.5b", "as released")


def test_table_for_one_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "qwen2.5:7b", "--context", "4096"]) == 0
    title, licence, _, header, *rows, _, conditions = capsys.readouterr().out.splitlines()
    assert title == "qwen2.5:7b: Qwen2ForCausalLM, 7.62 B parameters"
    assert licence == "licence: Apache-2.0"
    assert header.split() == ["AS", "WEIGHTS", "CACHE", "STATE", "WORKSPACE", "MEMORY", "FITS", "TOKENS/S"]
    assert [row.split()[0] for row in rows] == ["as", "f32", "f16", "q8", "q4"]
    assert [row.split()[-2] for row in rows] == ["yes", "no", "yes", "yes", "yes"]
    assert "1 user with 4096 tokens" in conditions
    assert "24.0 GB of memory available, read at 40.0 GB/s" in conditions


def test_all_models_what_fits_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit"]) == 0
    printed = capsys.readouterr()
    rows = [line.split() for line in printed.out.splitlines() if ":" in line.split(" ")[0]]
    names = [row[0] for row in rows]
    assert {"llama3.3:70b", "qwen2.5:0.5b", "mistral:7b-v0.3"} <= set(names)
    fits = ["yes" in row for row in rows]
    assert fits == sorted(fits, reverse=True)
    assert fits[names.index("qwen2.5:7b")]
    assert not fits[names.index("llama3.3:70b")]
    assert "xverse:7b" in printed.err
    assert main(["fit", "--json", "--dtype", "q4"]) == 0
    models = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in models if model["fits"]] == [
        model["name"] for model in sorted(models, key=lambda one: -one["parameters"]) if model["fits"]
    ]


def test_unknown_to_the_catalogue_is_asked_of_the_hub(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    files = {
        "config.json": json.dumps(LLAMA | {"torch_dtype": "float16"}).encode(),
        "model.safetensors": bytes(1 << 20),
    }
    hub.repositories["org/small"] = FakeRepository(files, frozenset({"model.safetensors"}))
    found = fitted(capsys, "org/small")
    assert found["architecture"] == "LlamaForCausalLM"
    assert [request.path.rpartition("/")[2] for request in hub.files_seen()] == ["config.json"]
    hub.repositories["org/files"] = FakeRepository({"tiny.Q8_0.gguf": b"GGUF"})
    assert main(["fit", "org/files"]) == 1
    assert "error: org/files has no config.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-model"], "there is no model or path 'no-such-model'"),
        (["./absent"], "there is no model or path './absent'"),
        (["org/small"], "HF_HUB_OFFLINE is set"),
        (["qwen2.5:7b", "--context", "999999"], "context is 999999; the model's is 32768"),
    ],
)
def test_what_cannot_be_fitted(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": ["LamaForCausalLM"]}, "architecture 'LamaForCausalLM' is not supported"),
        ({"torch_dtype": "int3"}, "`torch_dtype` is 'int3'; supported: float64, float32"),
        ({"hidden_act": "magic"}, "hidden_act"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
    ],
)
def test_configuration_that_we_do_not_know(
    folder: Path, change: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "config.json").write_text(json.dumps(LLAMA | change))
    assert main(["fit", str(folder)]) == 1
    assert message in capsys.readouterr().err


def test_released_configurations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = {"Qwen--Qwen2.5-7B-Instruct": 7.62, "meta-llama--Llama-3.3-70B-Instruct": 70.55}
    for name, billions in published.items():
        found = fitted(capsys, str(asset(f"configs/{name}_config.json")))
        assert round(found["parameters"] / 1e9, 2) == billions
