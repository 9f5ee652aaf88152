"""The seeded generator of support messages and of the answers that belong to them.

    for example in examples(seed=1): print(example.message, example.answer)

A message is a sentence that decides the category, and around it, in any order, sentences that carry the order number,
the product, the priority, the sentiment, or nothing. The rules that decide a field are in README.md. Messages whose
hash falls in one sixteenth of all values are reserved for evaluation, so none that is evaluated was ever trained on.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from recipes.pebble.noise import Segment, add_noise
from recipes.pebble.phrases import CATEGORIES, LANGUAGES, Language, Part, Phrases, load_phrases
from recipes.pebble.values import determiner, order_number, product, value

FIELDS = ("language", "category", "priority", "product", "order_number", "sentiment")
PRIORITIES = ("low", "normal", "high", "urgent")
SENTIMENTS = ("negative", "neutral", "positive")
# Messages that come straight to the point: no greeting, no sign-off, nothing beside the point.
SHORT_SHARE = 0.25
_BASE_PRIORITY = {"outage": "high", "question": "low"}
_SLOT = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Example:
    """A message and the fields of its answer; `product` and `order_number` are as written in the message, or None."""

    message: str
    language: Language
    category: str
    priority: str
    product: str | None
    order_number: str | None
    sentiment: str

    @property
    def answer(self) -> str:
        """One line of JSON with the keys in the order of FIELDS."""
        return json.dumps({field: getattr(self, field) for field in FIELDS}, ensure_ascii=False)


class _Writer:
    """Writes one message: holds what its sentences must agree on."""

    def __init__(self, phrases: Phrases, rng: random.Random, category: str) -> None:
        self.phrases = phrases
        self.rng = rng
        services = {"outage": 0.9, "invoice": 0.4, "question": 0.2, "complaint": 0.2}.get(category, 0.03)
        self.product, self.feminine = product(phrases, rng, "services" if rng.random() < services else "goods")
        self.order = order_number(rng)

    def fill(self, slot: str) -> list[Segment]:
        """The segments that stand for a slot."""
        if slot == "order":
            return [Segment(self.order, "order")]
        if slot in self.phrases.endings:
            return [Segment(self.phrases.endings[slot][self.feminine])]
        name, _, noun = slot.rpartition(" ")
        if noun == "product":
            article = determiner(self.phrases, name, self.product, self.feminine) if name else ""
            return [Segment(article), Segment(self.product, "product")]
        return [Segment(value(self.phrases, slot, self.rng))]

    def sentence(self, template: str) -> list[Segment]:
        """A template as segments: expanded, slots filled, a capital first, a full stop last."""
        pieces = _SLOT.split(self.phrases.expand(template, self.rng))
        segments: list[Segment] = []
        for index, piece in enumerate(pieces):
            for part in self.fill(piece) if index % 2 else [Segment(piece)]:
                if segments and part.kind == segments[-1].kind == "plain":
                    segments[-1] = Segment(segments[-1].text + part.text)
                elif part.text:
                    segments.append(part)
        segments = [Segment(self._polish(part.text)) if part.kind == "plain" else part for part in segments]
        if segments[0].kind == "plain":
            text = segments[0].text
            start = 1 if text[0] in "¿¡" else 0
            segments[0] = Segment(text[:start] + text[start : start + 1].upper() + text[start + 1 :])
        if segments[-1].text[-1] not in "?!.":
            segments.append(Segment("!" if self.rng.random() < 0.1 else "."))
        return segments

    def _polish(self, text: str) -> str:
        for words, contraction in self.phrases.contractions.items():
            text = re.sub(rf"\b{words}", contraction, text)
        return text if self.phrases.language == "fr" else text.replace(" ?", "?")


def _body(writer: _Writer, core: str, cues: list[str], *, short: bool) -> list[list[Segment]]:
    """The sentences of a message, in order or shuffled: the core, the cues, the extras."""
    rng, extras = writer.rng, writer.phrases.extras
    sentences = [writer.sentence(core), *(writer.sentence(cue) for cue in cues)]
    kinds = {part.kind for part in sentences[0]}
    if "order" not in kinds and rng.random() < 0.45:
        sentences.append(writer.sentence(rng.choice(extras["reference"])))
    if "product" not in kinds and rng.random() < 0.35:
        sentences.append(writer.sentence(rng.choice(extras["about"])))
    details = 0 if short else rng.choices((0, 1, 2), weights=(55, 35, 10))[0]
    sentences.extend(writer.sentence(detail) for detail in rng.sample(extras["detail"], details))
    if rng.random() < 0.5:
        rng.shuffle(sentences)
    return sentences


def _lower_first(segment: Segment) -> Segment:
    """The start of a sentence that now follows a comma; the English "I" and capitals stay."""
    if segment.kind != "plain" or re.match(r"I\b|[A-Z]{2}", segment.text):
        return segment
    return Segment(segment.text[0].lower() + segment.text[1:])


def _frame(writer: _Writer, sentences: list[list[Segment]], *, short: bool) -> list[Segment]:
    """The sentences joined, with a greeting and a sign-off now and then."""
    rng, phrases = writer.rng, writer.phrases
    gap = rng.choice((" ", " ", " ", "\n"))
    message: list[Segment] = []
    if not short and rng.random() < 0.5:
        greeting = rng.choice(phrases.extras["greeting"])
        stop = rng.choice((",", "!", ".", ":", ""))
        message.append(Segment(greeting[0].upper() + greeting[1:] + stop + rng.choice((gap, " ", "\n"))))
    for index, sentence in enumerate(sentences):
        if index and message[-1] == Segment(".") and rng.random() < 0.15:
            message[-1] = Segment(rng.choice(phrases.extras["joiners"]))
            message.extend([_lower_first(sentence[0]), *sentence[1:]])
        else:
            message.extend([Segment(gap), *sentence] if index else sentence)
    if not short and rng.random() < 0.4:
        closing = rng.choice(phrases.extras["closing"])
        stop = rng.choice((",", ".", "", "!"))
        message.append(Segment(rng.choice((gap, "\n")) + closing[0].upper() + closing[1:] + stop))
        if rng.random() < 0.5:
            message.append(Segment(rng.choice((" ", "\n")) + rng.choice(phrases.values["names"])))
    return message


def generate(rng: random.Random, *, core: Part = "train", cues: Part = "train") -> Example:
    """One example, drawn from `rng` alone.

    Args:
        core: which templates the sentence that decides the category is drawn from.
        cues: which sentences the priority and the sentiment are drawn from.
    """
    phrases = load_phrases(rng.choice(LANGUAGES))
    category = rng.choice(CATEGORIES)
    writer = _Writer(phrases, rng, category)
    short = rng.random() < SHORT_SHARE
    priority = rng.choices(("", "urgent", "high", "low"), weights=(160 if short else 40, 20, 20, 20))[0]
    positive = 0 if category == "complaint" else 25
    sentiment = rng.choices(("", "negative", "positive"), weights=(200 if short else 50, 25, positive))[0]
    chosen = [rng.choice(phrases.priority[priority][cues])] if priority else []
    chosen += [rng.choice(phrases.sentiment[sentiment][cues])] if sentiment else []
    sentences = _body(writer, rng.choice(phrases.categories[category][core]), chosen, short=short)
    segments = add_noise(_frame(writer, sentences, short=short), rng)
    found = {part.kind: part.text for part in segments}
    return Example(
        message="".join(part.text for part in segments).strip(),
        language=phrases.language,
        category=category,
        priority=priority or _BASE_PRIORITY.get(category, "normal"),
        product=found.get("product"),
        order_number=found.get("order"),
        sentiment=sentiment or ("negative" if category == "complaint" else "neutral"),
    )


def is_reserved(message: str) -> bool:
    """Whether the message belongs to the sixteenth that is kept for evaluation."""
    return hashlib.sha256(message.encode()).digest()[0] < 16


def examples(seed: int, *, reserved: bool = False, core: Part = "train", cues: Part = "train") -> Iterator[Example]:
    """An endless stream of examples, the same for the same arguments.

    Args:
        seed: any integer; different seeds give different streams.
        reserved: whether to give the messages kept for evaluation, or only those that training may see.
        core, cues: as for `generate`.
    """
    rng = random.Random(f"pebble {seed} {reserved} {core} {cues}")
    while True:
        example = generate(rng, core=core, cues=cues)
        if is_reserved(example.message) == reserved:
            yield example
