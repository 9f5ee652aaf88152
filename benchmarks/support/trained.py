"""Really trained models as GGUF files: random weights say nothing about precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import freehold
from benchmarks.support.files import NO_VOCABULARY, FileType
from benchmarks.support.sides import Side
from freehold.checkpoints import open_checkpoint, write_gguf
from freehold.checkpoints.base import Naming
from freehold.engine.types import GenerationRequest, SamplingOptions, StopOptions
from freehold.models.export import export
from freehold.store import resolve
from freehold.tensors import WeightType
from tests.support.llama2c import write_folder

REPOSITORY = Path(__file__).resolve().parents[2]
# Beside the repository, not in it; without them pebble alone is measured.
WEIGHTS = REPOSITORY.parent / "shared" / "assets" / "weights"
# Run by the Python that has llama-cpp-python.
QUANTISER = REPOSITORY / "tests" / "parity" / "llama_cpp_peer.py"
LONGEST = 256
FIRST_TOKEN = 1

# What we write ourselves; llama.cpp's quantiser refuses Q4_0 where rows do not fill blocks. Q4_K is its own business.
_WRITTEN = {FileType.Q4_0: WeightType.Q4, FileType.Q8_0: WeightType.Q8, FileType.F16: WeightType.F16}


def trained_folders() -> dict[str, Callable[[Path], Path]]:
    """Models by name; each makes a Hugging Face folder in a scratch folder, or says where it is already."""

    def llama2c(weights: str, vocabulary: str, scratch: Path) -> Path:
        return write_folder(WEIGHTS / weights, WEIGHTS / vocabulary, scratch / "source")

    found: dict[str, Callable[[Path], Path]] = {"pebble": lambda _: resolve("pebble")}
    known = {
        "stories260K": ("stories260K/stories260K.bin", "stories260K/tok512.bin"),
        "babyllama-tok105": ("babyllama-tok105/model5000.bin", "babyllama-tok105/tok105.model"),
    }
    for name, (weights, vocabulary) in known.items():
        if (WEIGHTS / weights).exists():
            found[name] = partial(llama2c, weights, vocabulary)
    return found


@contextmanager
def written(source: Callable[[Path], Path]) -> Iterator[tuple[Path, Path]]:
    """A scratch folder, and in it the model as a GGUF file in float32."""
    with TemporaryDirectory() as name:
        scratch = Path(name)
        folder = source(scratch)
        yield scratch, _exported(folder, WeightType.F32, scratch / "F32.gguf")


def quantised(exact: Path, kind: FileType, quantiser: Side) -> Path:
    """The model in a type, beside its file in float32.

    Args:
        quantiser: `QUANTISER` as a process.
    """
    path = exact.with_name(f"{kind}.gguf")
    if kind in _WRITTEN:
        return _exported(exact, _WRITTEN[kind], path)
    answer = quantiser.ask(quantise=str(exact), to=str(path), type=kind.number)
    if not answer.get("done"):
        raise ValueError(f"llama.cpp does not quantise to {kind}: {answer}")
    return path


def _exported(source: Path, dtype: WeightType, path: Path) -> Path:
    described = export(open_checkpoint(source), Naming.GGUF, dtype, path.stem)
    write_gguf(path, {**described.config, **NO_VOCABULARY}, described.tensors)
    return path


def sampled_texts(exact: Path, count: int) -> list[list[int]]:
    """Token ids as the model itself writes them: what it was trained on, without needing the data."""
    with freehold.load(exact, max_waiting=count) as model:
        length = min(LONGEST, model.config.context_length)
        requests = [
            GenerationRequest(
                prompt=(FIRST_TOKEN,),
                sampling=SamplingOptions(temperature=1, seed=seed),
                stop=StopOptions(max_tokens=length - 1, ignore_eos=True),
            )
            for seed in range(count)
        ]
        streams = [model.engine.stream(request) for request in requests]
        return [[FIRST_TOKEN] + [token.token_id for output in stream for token in output.tokens] for stream in streams]
