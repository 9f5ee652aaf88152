"""Drafts from a sequence's own text beside plain decoding: what they save where texts repeat, what they cost elsewhere.

    .venv/bin/python benchmarks/speculation.py [--quick] [--shapes 0.5b,1.2b]

Two engines over the same weights, one with speculation "auto" and one with "off", answer the same prompts in turn, and
their answers must be the same. Times are from the first token to the last; a ratio is the median over the rounds of
plain time by time with drafts, so more than 1 is faster.

"pebble" is the bundled model, which answers a message as it has answered those before it in the conversation, greedily.
The other models have real shapes, 4-bit weights that are random, and say what a script says, at the price of
drawing it: "passages" copies 24 tokens at a time from a context of 512, with 3 between that are not there; "nothing"
is random tokens; in "misleading" three tokens from the context are always followed by another one than there.

With a draft model: pebble is drafted for by its own first, second and last layer (its guesses are real, but its steps
are too short to save much), and one shape is drafted for by another, where a script decides how many guesses come true.
Weights are random there too, so what is measured is what drafts of a given quality save at the cost of both models.

The last line is JSON: `extraction` is the least ratio of pebble's and the passages', `cost` the least of the others.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository, for this runs as a script

import freehold
from benchmarks.support.command import parser, run
from benchmarks.support.figures import print_result, ratio, table
from benchmarks.support.files import FileType, cache_folder, model_file
from benchmarks.support.scripts import Guesser, Script, misleading, nothing_alike, passages
from benchmarks.support.shapes import SHAPES
from freehold.cli.measuring import Clock
from freehold.engine import Engine, EngineOptions, GenerationRequest, SamplingOptions, StopOptions
from freehold.engine.model_drafter import DraftModel
from freehold.engine.native_sampler import NativeSampler
from freehold.engine.sampler import Sampler
from freehold.errors import FreeholdError
from freehold.models import Decoder
from freehold.text import conversation_prompt
from recipes.pebble.grammar import examples

CONTEXT, ANSWER = 512, 192
DRAFT_CONTEXT, DRAFT_ANSWER = 64, 128
PEBBLE_LAYERS = (0, 1, 3)
DRAFT_SHAPE = "0.5b"
EARLIER_MESSAGES = 5


# An answer: tokens of the prompt, most tokens, and tokens that end it.
Question = tuple[Sequence[int], int, Sequence[int]]


@dataclass(frozen=True)
class Result:
    """What one kind of text took, round by round."""

    name: str
    plain: list[float]
    drafting: list[float]
    tokens: int
    drafted: int
    accepted: int

    @property
    def ratio(self) -> float:
        return ratio(self.plain, self.drafting)


class Side:
    """One engine over a model, with or without drafts."""

    def __init__(self, network: Decoder, sampler: Sampler, *, drafting: bool, draft: DraftModel | None = None) -> None:
        self.clock = Clock()
        options = EngineOptions(
            cache_tokens=2048, max_sequences=1, prefix_cache=False, speculation="auto" if drafting else "off"
        )
        self.engine = Engine(network, sampler=sampler, options=options, observer=self.clock, draft=draft)

    def answer(self, question: Question) -> tuple[list[int], float]:
        """The answer's tokens, and seconds from its first to its last."""
        prompt, most, end_ids = question
        stop = StopOptions(max_tokens=most, token_ids=tuple(end_ids))
        request = GenerationRequest(prompt=tuple(prompt), sampling=SamplingOptions(temperature=0), stop=stop)
        self.clock.restart()
        tokens = [token.token_id for output in self.engine.stream(request) for token in output.tokens]
        return tokens, self.clock.next[-1] - self.clock.first[0]


class Pair:
    """Both engines over a model.

    Args:
        sampler: makes the sampler of each.
        draft: drafts for one of them; None for prompt lookup alone.
    """

    def __init__(self, network: Decoder, sampler: Callable[[], Sampler], draft: DraftModel | None = None) -> None:
        self.plain = Side(network, sampler(), drafting=False)
        self.drafting = Side(network, sampler(), drafting=True, draft=draft)

    def compare(self, name: str, questions: Sequence[Question]) -> Result:
        """Let both answer in turn, and each begin every other round. The first question warms up and is not counted."""
        self._both(name, questions[0], swapped=False)
        before = self.drafting.engine.stats()
        rounds = [self._both(name, question, swapped=index % 2 == 1) for index, question in enumerate(questions[1:])]
        after = self.drafting.engine.stats()
        result = Result(
            name,
            [plain for plain, _, _ in rounds],
            [drafting for _, drafting, _ in rounds],
            sum(count for _, _, count in rounds),
            after.drafted_tokens - before.drafted_tokens,
            after.accepted_tokens - before.accepted_tokens,
        )
        print(f"{name}: {result.ratio:.3f} in {len(rounds)} rounds", flush=True)
        return result

    def close(self) -> None:
        self.plain.engine.close()
        self.drafting.engine.close()

    def _both(self, name: str, question: Question, *, swapped: bool) -> tuple[float, float, int]:
        """Seconds without and with drafts, and how many tokens the answer has."""
        sides = (self.drafting, self.plain) if swapped else (self.plain, self.drafting)
        (first, first_seconds), (second, second_seconds) = (side.answer(question) for side in sides)
        if first != second:
            raise FreeholdError(f"{name}: the answer with drafts is another one than without")
        plain, drafting = (second_seconds, first_seconds) if swapped else (first_seconds, second_seconds)
        return plain, drafting, len(first)


def measure_pebble(rounds: int) -> list[Result]:
    """The next message of a conversation, each time of another one."""
    with freehold.load("pebble") as model, freehold.load("pebble") as layers:
        assert isinstance(model.network, Decoder)
        assert model.text is not None
        messages = examples(2027, reserved=True)
        questions: list[Question] = []
        for _ in range(1 + rounds):
            turns = [
                {"role": role, "content": content}
                for example in islice(messages, EARLIER_MESSAGES)
                for role, content in (("user", example.message), ("assistant", example.answer))
            ]
            turns.append({"role": "user", "content": next(messages).message})
            prompt = conversation_prompt(model.tokenizer, model.dialect, model.template.render, turns)
            questions.append((prompt.ids, 96, model.text.end_ids))
        assert isinstance(layers.network, Decoder)
        layers.network.blocks = [layers.network.blocks[index] for index in PEBBLE_LAYERS]
        found = []
        for name, draft in (("pebble", None), ("pebble by its layers", DraftModel(layers.network, NativeSampler()))):
            pair = Pair(model.network, NativeSampler, draft)
            try:
                found.append(pair.compare(name, questions))
            finally:
                pair.close()
        return found


def measure_shape(path: Path, rounds: int) -> list[Result]:
    """Scripted answers by a model of a real shape."""
    with freehold.load(path) as model:
        assert isinstance(model.network, Decoder)
        vocabulary = model.config.vocabulary
        script = Script()
        pair = Pair(model.network, lambda: script)
        context = nothing_alike(CONTEXT, vocabulary)
        texts = {
            "passages": passages(context, ANSWER, vocabulary),
            "nothing": nothing_alike(ANSWER, vocabulary)[::-1],
            "misleading": misleading(context, ANSWER, vocabulary),
        }
        found = []
        try:
            for name, text in texts.items():
                script.text = text
                found.append(pair.compare(f"{path.stem} {name}", [(context, ANSWER, ())] * (1 + rounds)))
        finally:
            pair.close()
        return found


def measure_draft_model(path: Path, draft_path: Path, chances: Sequence[float], rounds: int) -> list[Result]:
    """Scripted answers with nothing to look up, drafted by another model whose guesses are right as often as given."""
    with freehold.load(path) as model, freehold.load(draft_path) as small:
        assert isinstance(model.network, Decoder)
        assert isinstance(small.network, Decoder)
        vocabulary = min(model.config.vocabulary, small.config.vocabulary)
        context, text = nothing_alike(DRAFT_CONTEXT, vocabulary), nothing_alike(DRAFT_ANSWER, vocabulary)[::-1]
        script, found = Script(), []
        script.text = text
        for right in chances:
            guesser = Guesser(right)
            guesser.text = text
            pair = Pair(model.network, lambda: script, DraftModel(small.network, guesser))
            try:
                name = f"{path.stem} by {draft_path.stem}, {right:.0%} right"
                found.append(pair.compare(name, [(context, DRAFT_ANSWER, ())] * (1 + rounds)))
            finally:
                pair.close()
        return found


def rows(results: Sequence[Result]) -> list[list[object]]:
    """The table: tokens per second after the first token, and what became of the drafts."""
    listed: list[list[object]] = [["text", "plain t/s", "drafting t/s", "ratio", "drafted", "accepted"]]
    for one in results:
        plain, drafting = (one.tokens / sum(times) for times in (one.plain, one.drafting))
        listed.append([one.name, plain, drafting, one.ratio, one.drafted, one.accepted])
    return listed


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--shapes", help=f"of {', '.join(SHAPES)}, separated by commas")
    arguments.add_argument("--drafted", help="the shape that 0.5b drafts for; 3b, or 1.2b where it is to be quick")
    arguments.add_argument("--rounds", type=int, help="of each text")
    options = arguments.parse_args()
    os.environ["FREEHOLD_THREADS"] = str(options.threads)
    rounds = options.rounds or (5 if options.quick else 9)
    folder = cache_folder(options.cache)
    results = measure_pebble(4 * rounds)
    for shape in (options.shapes or ("0.5b" if options.quick else "0.5b,1.2b")).split(","):
        results += measure_shape(model_file(folder, shape, FileType.Q4_0), rounds)
    drafted = options.drafted or ("1.2b" if options.quick else "3b")
    results += measure_draft_model(
        model_file(folder, drafted, FileType.Q4_0),
        model_file(folder, DRAFT_SHAPE, FileType.Q4_0),
        (0.8,) if options.quick else (0.9, 0.75, 0.6, 0.3, 0.0),
        rounds,
    )
    print("\n" + table(rows(results)))
    repeating = [one.ratio for one in results if one.name.endswith(("pebble", "passages"))]
    others = [one.ratio for one in results if one.name.endswith(("nothing", "misleading"))]
    print_result(
        {
            "extraction": min(repeating),
            "cost": min(others, default=None),
            "texts": {one.name: one.ratio for one in results},
            "accepted": {one.name: one.accepted / one.drafted for one in results if one.drafted},
            "threads": options.threads,
            "quick": options.quick,
        }
    )


if __name__ == "__main__":
    run(main)
