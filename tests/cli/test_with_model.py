"""The verbs with a real model: tiny, random, and as deterministic as any."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import freehold
from freehold.cli import main
from freehold.cli.options import BackendName, DtypeName
from freehold.ops import BACKENDS
from freehold.tensors import WeightType
from tests.support.terminal import CONTROL_C, CONTROL_D, Terminal, on_terminal
from tests.support.tiny_folder import write_tiny_model

FREEHOLD = [sys.executable, "-m", "freehold"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", context=4096)


@pytest.fixture
def terminal(folder: Path, home: Path) -> Iterator[Terminal]:
    """A chat with the tiny model, waiting for a message."""
    environment = os.environ | {"TERM": "dumb", "NO_COLOR": "1"}
    with on_terminal([*FREEHOLD, "run", str(folder), "-t", "0", "--max-tokens", "5"], environment) as terminal:
        terminal.wait_for(">>> ")
        yield terminal


def test_answer_is_that_of_the_python_interface(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(folder), "hello", "-t", "0", "--max-tokens", "24"]) == 0
    with freehold.load(folder) as model:
        expected = model.chat([{"role": "user", "content": "hello"}], temperature=0, max_tokens=24)
    assert capsys.readouterr().out == expected + ("" if expected.endswith("\n") else "\n")


def test_bundled_model_answers_in_json() -> None:
    finished = subprocess.run([*FREEHOLD, "demo"], capture_output=True, text=True, check=True)
    (answer,) = (json.loads(line) for line in finished.stdout.splitlines() if line.startswith("{"))
    assert (answer["category"], answer["order_number"]) == ("order", "A-48213")
    assert finished.stderr == ""


def test_model_without_tokenizer_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = write_tiny_model(tmp_path / "bare", tokenizer=False)
    assert main(["run", str(bare), "hello"]) == 1
    assert "came without tokenizer files" in capsys.readouterr().err


def test_damaged_model_is_an_error_with_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = write_tiny_model(tmp_path / "broken") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    for verb in (["run"], ["show"], ["bench"]):
        assert main([*verb, str(weights.parent), *(["hello"] if verb == ["run"] else [])]) == 1
        printed = capsys.readouterr().err
        assert printed.startswith("error: ")
        assert "hint: " in printed


def test_show_counts_parameters_and_memory(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(folder), "--context", "64", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    parameters = 261 * 32 + 2 * (2 * 32 + 2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32) + 32
    assert shown["parameters"] == parameters
    assert shown["storage"] == {"F32": 1.0}
    assert shown["cache_bytes"] == 64 * 2 * 2 * 2 * 8 * 4  # keys and values, layers, KV heads, width, float32
    assert parameters * 4 <= shown["weight_bytes"] < parameters * 4.1  # rows are filled up to eight
    assert shown["memory_bytes"] == shown["weight_bytes"] + shown["cache_bytes"]
    assert shown["disk_bytes"] == sum(file.stat().st_size for file in folder.iterdir())


def test_show_for_a_person(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(folder), "--dtype", "q8", "--context", "1000"]) == 0
    shown = capsys.readouterr().out
    assert "parameters     26.94 K\n" in shown
    assert "cache for 1000 tokens 128.0 kB" in shown
    assert main(["show", str(folder), "--dtype", "q8", "--cache-type", "q8", "--context", "1000"]) == 0
    assert "cache for 1000 tokens 80.0 kB" in capsys.readouterr().out


def test_show_refuses_a_context_that_the_model_has_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(folder), "--context", "5000"]) == 1
    assert "context is 5000; the model's is 4096" in capsys.readouterr().err


def test_bench_ends_in_one_line_of_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--prompt", "20", "--generate", "8", "--concurrency", "3", "--repeats", "2", "--json"]
    assert main(["bench", str(folder), *arguments]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    results = json.loads(line)
    assert (results["prompt"], results["generate"], results["concurrency"], results["repeats"]) == (20, 8, 3, 2)
    for rate in ("first_token_seconds", "prefill_tokens_per_second", "decode_tokens_per_second", "load_seconds"):
        assert results[rate] > 0
    assert results["peak_memory_bytes"] > 1e6


def test_bench_for_a_person(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(folder), "--prompt", "20", "--generate", "8", "--repeats", "1"]) == 0
    assert "20 prompt and 8 generated tokens, 1 at once\n" in capsys.readouterr().out


def test_bench_refuses_lengths_past_the_context(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(folder), "--prompt", "4000", "--generate", "100"]) == 2
    assert "are 4100 tokens; the context has 4096" in capsys.readouterr().err


def test_options_name_what_there_is() -> None:
    assert BackendName.__args__ == BACKENDS  # type: ignore[attr-defined]
    assert set(DtypeName.__args__) == set(WeightType)  # type: ignore[attr-defined]


def test_chat_on_a_terminal(terminal: Terminal) -> None:
    terminal.type("hello\n")
    terminal.wait_for("note: the answer was cut after 5 tokens")
    terminal.wait_for(">>> ")
    terminal.type("/set temperature 0.5\n")
    terminal.wait_for(">>> ")
    terminal.type("/set\n")
    terminal.wait_for("temperature         0.5\n")
    terminal.wait_for(">>> ")
    terminal.type("/bye\n")
    assert terminal.exit_code() == 0


def test_control_d_leaves(terminal: Terminal) -> None:
    terminal.type(CONTROL_D)
    assert terminal.exit_code() == 0


def test_control_c_stops_the_answer_and_nothing_else(terminal: Terminal) -> None:
    terminal.type("/set max_tokens 4000\n")
    terminal.wait_for(">>> ")
    terminal.type("hello\n")
    terminal.wait_for("hello\n")
    terminal.read()
    terminal.type(CONTROL_C)
    terminal.wait_for("stopped\n")
    terminal.wait_for(">>> ")
    # The line after it wakes a line editor that was not waiting for keys yet when the signal came.
    terminal.type(CONTROL_C + "\n")
    terminal.wait_for("Ctrl-D or /bye leaves")
    terminal.wait_for(">>> ")
    terminal.type("/bye\n")
    assert terminal.exit_code() == 0


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server on a free port, and its base URL."""
    command = [*FREEHOLD, "serve", *arguments, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if line.startswith("serving "))
            yield process, next(word.rstrip(";") for word in line.split() if word.startswith("http://"))
        finally:
            process.kill()


def test_serve_answers_by_the_folders_name_and_stops_on_a_signal(folder: Path) -> None:
    with served(str(folder), "--alias", "gpt-4o-mini=tiny") as (process, url):
        with urllib.request.urlopen(f"{url}/models") as answer:
            assert {model["id"] for model in json.load(answer)["data"]} >= {"tiny"}
        body = {"model": "gpt-4o-mini", "max_tokens": 3, "messages": [{"role": "user", "content": "hello"}]}
        request = urllib.request.Request(
            f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["usage"]["completion_tokens"] == 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_port_in_use_is_an_error_with_a_hint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", str(folder), "--port", str(port)]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: port {port} on 127.0.0.1 is in use")
    assert "hint: " in printed


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["absent"], 1, "there is no model or path 'absent'"),
        (["x/tiny", "y/tiny", "x/tiny"], 2, "two models would be served as 'x/tiny'"),
        (["x/tiny", "y/tiny", "--draft-model", "pebble"], 2, "--draft-model drafts for one model, and 2 are to be"),
        (["pebble", "--draft-model", "no/such"], 1, "no/such"),
        (["--alias", "nonsense"], 2, "--alias is 'nonsense'"),
    ],
)
def test_serve_refuses_at_once(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *arguments]) == code
    assert message in capsys.readouterr().err
