"""Scores a model on messages that it was not trained on, through the public API; ends in one line of JSON.

    python -m recipes.pebble.evaluate [--model pebble] [--examples 1000] [--seed 2027]

Three sets, all from the messages that are reserved for evaluation: `fresh` has known phrases in new combinations,
with new order numbers and products; `kept_out` has a deciding sentence from the templates that training never saw; in
`kept_out_cues` the sentences that decide priority and sentiment are unknown as well.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator

import freehold
from recipes.pebble.grammar import Example, examples
from recipes.pebble.scoring import Answerer, score

MOST_TOKENS = 128


def evaluation_sets(seed: int, count: int) -> dict[str, list[Example]]:
    """The three sets, `count` examples each."""
    streams: dict[str, Iterator[Example]] = {
        "fresh": examples(seed, reserved=True),
        "kept_out": examples(seed, reserved=True, core="held_out"),
        "kept_out_cues": examples(seed, reserved=True, core="held_out", cues="held_out"),
    }
    return {name: list(itertools.islice(stream, count)) for name, stream in streams.items()}


def load_answerer(model: str, backend: str) -> Answerer:
    """Greedy answers from a model, by the public API."""
    loaded = freehold.load(model, backend=backend)

    def answer(message: str) -> str:
        return str(loaded.chat([{"role": "user", "content": message}], max_tokens=MOST_TOKENS, temperature=0))

    return answer


def main() -> None:
    """Reads the command line, scores, prints."""
    parser = argparse.ArgumentParser(description="Score a model on support messages.")
    parser.add_argument("--model", default="pebble", help="name, folder or GGUF file")
    parser.add_argument("--backend", default="native", choices=("native", "torch"))
    parser.add_argument("--examples", type=int, default=1000, help="examples of each set")
    parser.add_argument("--seed", type=int, default=2027)
    options = parser.parse_args()
    answer = load_answerer(options.model, options.backend)
    result: dict[str, object] = {"model": options.model, "seed": options.seed}
    for name, chosen in evaluation_sets(options.seed, options.examples).items():
        result[name] = score(answer, chosen)
        print(f"{name}: {result[name]}", file=sys.stderr)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
