"""Opening a model runs no code from it and touches nothing but its files, seen by an audit hook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoints.raw import Folder, Gguf, entry, index, safetensors, text

# Everything the interpreter reports while a model is opened and read, but for reading files in the model's folder.
WATCH = """
import os, sys
from pathlib import Path
from freehold.checkpoints import open_checkpoint
from freehold.errors import FreeholdError

FORBIDDEN = ("exec", "compile", "import", "socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn",
             "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink", "os.truncate",
             "shutil.", "tempfile.", "pickle.", "marshal.", "ctypes.", "urllib.", "http.", "webbrowser.", "os.putenv")
folder = os.path.realpath(sys.argv[1])
seen = []

def watch(event, arguments):
    if event.startswith(FORBIDDEN):
        seen.append(f"{event} {arguments[:1]}")
    if event == "open":
        path, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        if writes or not (isinstance(path, int) or str(path).startswith(folder)):
            seen.append(f"open {path} {mode} {flags}")

sys.addaudithook(watch)
try:
    checkpoint = open_checkpoint(Path(sys.argv[2]))
    for key in checkpoint.config:
        checkpoint.config[key]
    for name in checkpoint.tensors:
        checkpoint.read(name).float32()
    outcome = "opened"
except FreeholdError:
    outcome = "refused"
watched, seen = seen, []
print(outcome)
print("\\n".join(watched))
"""

HOSTILE_CONFIG = b"""{
  "architectures": ["LlamaForCausalLM"], "model_type": "llama",
  "auto_map": {"AutoConfig": "configuration_evil.EvilConfig", "AutoModelForCausalLM": "modeling_evil.Evil"},
  "_attn_implementation_internal": "https://evil.test/kernel", "trust_remote_code": true,
  "chat_template": "{{ ''.__class__.__mro__[1].__subclasses__() }}"
}"""
CODE = b"open('touched', 'w').write('x')\n"


# Written by hand: loading it would call exec with the code above.
PICKLE = b"cbuiltins\nexec\n(S" + repr(CODE.decode()).encode() + b"\ntR."
LYING_ABOUT: dict[str, bytes] = {
    "configuration_evil.py": CODE,
    "modeling_evil.py": CODE,
    "evil.pth": b"import os; " + CODE,
    "sitecustomize.py": CODE,
    "json.py": CODE,
    "numpy.py": CODE,
    "pytorch_model.bin": PICKLE,
    "consolidated.00.pth": PICKLE,
    "weights.pkl": PICKLE,
}
GOOD = safetensors({"weight": entry()})

INDEXED = {"x.safetensors": GOOD, "model.safetensors.index.json": index({"weight": "x.safetensors"})}
TEMPLATE = text(b"tokenizer.chat_template", b"{{ x.__class__ }}")

# Files beside those lying about, what is opened, and what comes of it.
CASES: dict[str, tuple[dict[str, bytes], str, str]] = {
    "folder": ({"model.safetensors": GOOD}, ".", "opened"),
    "shards": (INDEXED, ".", "opened"),
    "pickle named safetensors": ({"model.safetensors": PICKLE}, ".", "refused"),
    "pickle in an index": ({"model.safetensors.index.json": index({"weight": "weights.pkl"})}, ".", "refused"),
    "only pickles": ({}, ".", "refused"),
    "a pickle": ({}, "pytorch_model.bin", "refused"),
    "pickle named gguf": ({"model.gguf": PICKLE}, "model.gguf", "refused"),
    "gguf": ({"model.gguf": Gguf(pairs=[TEMPLATE]).build()}, "model.gguf", "opened"),
    "damaged gguf": ({"model.gguf": Gguf().build()[:-1]}, "model.gguf", "refused"),
    "damaged safetensors": ({"model.safetensors": GOOD[:-1]}, ".", "refused"),
}


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_run_imported_or_written(name: str, tmp_path: Path) -> None:
    files, opened, outcome = CASES[name]
    folder = Folder({**LYING_ABOUT, **files}, config=HOSTILE_CONFIG).write(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    command = [sys.executable, "-c", WATCH, str(folder), str(folder / opened)]
    source = Path(__file__).parents[2] / "src"
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=source)
    assert result.stdout.split("\n", 1) == [outcome, "\n"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not (source / "touched").exists()
