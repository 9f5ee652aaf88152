"""What a beginning that requests share costs the later ones, and what the prefix cache costs where nothing is shared.

    .venv/bin/python benchmarks/prefix_cache.py [--quick] [--shapes 0.5b,1.2b] [--llama-python PATH]

In every round there is a prefix that nobody has seen before, and three requests one after the other: the prefix with a
question ("first"), the very same again ("identical"), and the prefix with another question ("other"). Given is the time
to the first token, and the median over the rounds of the later requests' by the first's. It is measured in the engine,
with random tokens, and over HTTP on the loopback, with text, so that reading and tokenising it counts; there the model
has the vocabulary of the bundled pebble, and llama-cpp-python's server does the same where its Python is there.

"no hits" are engines over the same weights, one with the prefix cache and one without, that answer the same new prompts
in turn; in a cache that is full, so that something is forgotten for everything that is kept. The ratio is time without
by time with it.

The last line is JSON: `identical` and `other` are the worst ratios of the engine, `http_identical` and `http_other`
those over HTTP, `no_hits` the least ratio.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository, for this runs as a script

import freehold
from benchmarks.support.command import parser, run
from benchmarks.support.figures import print_result, ratio, table
from benchmarks.support.files import FileType, cache_folder, model_file, text_model
from benchmarks.support.load import WORDS, whole_answer
from benchmarks.support.peer import has_server, known_python
from benchmarks.support.servers import free_port, llama_server, our_server, running
from benchmarks.support.shapes import SHAPES
from freehold.cli.measuring import Clock
from freehold.engine import Engine, EngineOptions, GenerationRequest, SamplingOptions, StopOptions
from freehold.engine.native_sampler import NativeSampler
from freehold.errors import FreeholdError
from freehold.models import Decoder
from freehold.store import resolve
from freehold.text import load_text

KINDS = ("first", "identical", "other")
# Of a prompt and an answer where nothing is shared: a question that is read and answered.
PROMPT, ANSWER = 256, 32


@dataclass(frozen=True)
class Result:
    """Seconds to the first token of each kind of request, round by round."""

    name: str
    seconds: dict[str, list[float]]

    def share(self, kind: str) -> float:
        """Of the first request's time, what a later one took."""
        return ratio(self.seconds[kind], self.seconds["first"])


@dataclass(frozen=True)
class Plan:
    """Tokens of the shared prefix and of a question, and how often there is a new prefix."""

    prefix: int
    question: int
    rounds: int


class Side:
    """One engine over a model, whose cache holds a little more than one prompt of `tokens` and its answer."""

    def __init__(self, network: Decoder, tokens: int, *, prefix_cache: bool) -> None:
        self.clock = Clock()
        room = tokens + 128
        options = EngineOptions(
            context_length=room, cache_tokens=room, max_sequences=1, prefix_cache=prefix_cache, speculation="off"
        )
        self.engine = Engine(network, sampler=NativeSampler(), options=options, observer=self.clock)

    def answer(self, prompt: Sequence[int], tokens: int) -> tuple[float, float]:
        """Seconds to the first token, and to the end."""
        stop = StopOptions(max_tokens=tokens, ignore_eos=True)
        request = GenerationRequest(prompt=tuple(prompt), sampling=SamplingOptions(temperature=0), stop=stop)
        self.clock.restart()
        for output in self.engine.stream(request):
            if output.error is not None:
                raise FreeholdError(output.error)
        return self.clock.first[0], self.clock.ended[0]


def in_the_engine(name: str, network: Decoder, plan: Plan) -> Result:
    """Requests of random tokens. The first round warms up and is not counted."""
    draw, vocabulary = random.Random(0), network.config.vocabulary
    side = Side(network, plan.prefix + plan.question, prefix_cache=True)
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    try:
        for _ in range(1 + plan.rounds):
            shared = draw.choices(range(vocabulary), k=plan.prefix)
            asked, other = (draw.choices(range(vocabulary), k=plan.question) for _ in range(2))
            for kind, words in zip(KINDS, (asked, asked, other), strict=True):
                found[kind].append(side.answer([*shared, *words], 1)[0])
    finally:
        side.engine.close()
    return Result(name, {kind: times[1:] for kind, times in found.items()})


def without_hits(network: Decoder, rounds: int) -> float:
    """How many times as fast new prompts are with the prefix cache as without."""
    draw, vocabulary = random.Random(1), network.config.vocabulary
    sides = [Side(network, PROMPT + ANSWER, prefix_cache=cached) for cached in (True, False)]
    seconds: tuple[list[float], list[float]] = [], []
    try:
        for index in range(1 + rounds):
            prompt = draw.choices(range(vocabulary), k=PROMPT)
            for which in (0, 1) if index % 2 else (1, 0):
                seconds[which].append(sides[which].answer(prompt, ANSWER)[1])
    finally:
        for side in sides:
            side.engine.close()
    return ratio(seconds[1][1:], seconds[0][1:])


def text_of(tokens: int, draw: random.Random) -> str:
    """Words that are about so many tokens of pebble's vocabulary."""
    text = load_text(resolve("pebble"))
    assert text is not None  # it is bundled
    words: list[str] = []
    while len(text.tokenizer.encode(" ".join(words))) < tokens:
        words += draw.choices(WORDS.split(), k=max(1, tokens // 64))
    return " ".join(words)


def over_http(name: str, command: list[str], port: int, threads: int, plan: Plan) -> Result:
    """Requests of text. The first round warms up and is not counted."""
    draw = random.Random(0)
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with running(command, port, {**os.environ, "FREEHOLD_THREADS": str(threads)}) as model:
        for _ in range(1 + plan.rounds):
            shared, asked, other = (text_of(size, draw) for size in (plan.prefix, plan.question, plan.question))
            for kind, words in zip(KINDS, (asked, asked, other), strict=True):
                found[kind].append(whole_answer(port, model, f"{shared} {words}", 1))
    return Result(name, {kind: times[1:] for kind, times in found.items()})


def rows(results: Sequence[Result]) -> list[list[object]]:
    """The table: median seconds of each kind, and shares of the first's in percent."""
    listed: list[list[object]] = [["model", *(f"{kind} s" for kind in KINDS), "identical %", "other %", "rounds"]]
    for one in results:
        medians = [median(one.seconds[kind]) for kind in KINDS]
        shares = [100 * one.share(kind) for kind in KINDS[1:]]
        listed.append([one.name, *medians, *shares, len(one.seconds["first"])])
    return listed


def main() -> None:
    arguments = parser(__doc__, peer=True)
    arguments.add_argument("--shapes", help=f"of {', '.join(SHAPES)}, separated by commas")
    arguments.add_argument("--prefix", type=int, default=2000, help="tokens that requests share")
    arguments.add_argument("--question", type=int, default=16, help="tokens after them")
    arguments.add_argument("--rounds", type=int, help="of shared prefixes")
    options = arguments.parse_args()
    os.environ["FREEHOLD_THREADS"] = str(options.threads)
    rounds = options.rounds or (3 if options.quick else 7)
    plan = Plan(options.prefix, options.question, rounds)
    folder, threads = cache_folder(options.cache), options.threads
    python = known_python(options.llama_python, folder)
    peer = python if python is not None and has_server(python) else None
    ours: list[Result] = []
    served: list[Result] = []
    theirs: list[Result] = []
    speed: dict[str, float] = {}
    for shape in (options.shapes or ("0.5b" if options.quick else "0.5b,1.2b")).split(","):
        with freehold.load(model_file(folder, shape, FileType.Q4_0)) as model:
            assert isinstance(model.network, Decoder)
            ours.append(in_the_engine(f"{shape} engine", model.network, plan))
            speed[shape] = without_hits(model.network, 4 * rounds)
        path, port, context = text_model(folder, shape, FileType.Q4_0), free_port(), 2 * options.prefix
        command = our_server(path, port, context=context, sequences=1)
        served.append(over_http(f"{shape} HTTP", command, port, threads, plan))
        if peer is not None:
            command = llama_server(peer, path, port, context=context, threads=threads)
            theirs.append(over_http(f"{shape} llama-cpp-python", command, port, threads, plan))
    print(table(rows([*ours, *served, *theirs])))
    print("\n" + table([["no hits", "with by without"], *([shape, value] for shape, value in speed.items())]))
    result: dict[str, Any] = {
        **{kind: max(one.share(kind) for one in ours) for kind in KINDS[1:]},
        **{f"http_{kind}": max(one.share(kind) for one in served) for kind in KINDS[1:]},
        **{f"peer_{kind}": max((one.share(kind) for one in theirs), default=None) for kind in KINDS[1:]},
        "no_hits": min(speed.values()),
        "prefix": options.prefix,
        "question": options.question,
        "rounds": rounds,
        "threads": threads,
        "quick": options.quick,
    }
    print_result(result)


if __name__ == "__main__":
    run(main)
