"""Random values for the slots of a template: order numbers, products, dates, amounts, telephone numbers."""

from __future__ import annotations

import random
import re

from recipes.pebble.phrases import Phrases

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SHOP_PREFIXES = ("ORD", "CMD", "PED", "WEB", "FR", "ES", "UK", "NO", "SO", "REF", "C", "P", "W")
_ONSETS = (
    "b",
    "br",
    "c",
    "d",
    "dr",
    "f",
    "g",
    "gr",
    "k",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "r",
    "s",
    "st",
    "t",
    "tr",
    "v",
    "z",
)
_VOWELS = ("a", "e", "i", "o", "u", "ia", "eo", "ou")
_CODAS = ("", "", "", "l", "n", "r", "s", "x", "m", "nd", "rt", "lux")
_SUFFIXES = ("Pro", "Mini", "Plus", "Max", "Lite", "Air", "One")
# Slot -> the list of the phrase file that its value comes from.
_LISTS = {
    "name": "names",
    "city": "cities",
    "day": "days",
    "date": "dates",
    "amount": "amounts",
    "phone": "phones",
    "postcode": "postcodes",
    "hour": "hours",
    "month": "months",
}
# Slot -> the least and the greatest number.
_RANGES = {
    "d": (1, 28),
    "dd": (1, 28),
    "mm": (1, 12),
    "year": (2015, 2029),
    "h": (2, 11),
    "n": (5, 900),
    "cc": (1, 99),
}
_VOWEL_LETTERS = "aeiouyàâéèêîôûáíóú"


def digits(rng: random.Random, count: int) -> str:
    """`count` random decimal digits."""
    return "".join(rng.choice("0123456789") for _ in range(count))


def letters(rng: random.Random, count: int) -> str:
    """`count` random capital letters."""
    return "".join(rng.choice(_LETTERS) for _ in range(count))


def _free_shape(rng: random.Random) -> str:
    """Two or three groups of letters or digits with one separator: shapes that no shop has used yet."""
    groups = [
        digits(rng, rng.randint(2, 6)) if rng.random() < 0.6 else letters(rng, rng.randint(1, 3))
        for _ in range(rng.randint(1, 2))
    ]
    groups.insert(rng.randint(0, len(groups)), digits(rng, rng.randint(3, 6)))
    return rng.choice(("-", "-", "/", "", ".", "_")).join(groups)


def order_number(rng: random.Random) -> str:
    """An order number of a random shape, for example A-48213, FR20931, #7710294 or ORD-2291-X."""
    shape = rng.randrange(10)
    if shape == 0:
        number = f"{letters(rng, 1)}-{digits(rng, 5)}"
    elif shape == 1:
        number = f"{letters(rng, 2)}{digits(rng, rng.randint(4, 6))}"
    elif shape == 2:
        number = f"#{digits(rng, rng.randint(4, 8))}"
    elif shape == 3:
        number = f"{rng.choice(_SHOP_PREFIXES)}-{digits(rng, 4)}-{letters(rng, 1)}"
    elif shape == 4:
        number = f"{rng.choice(_SHOP_PREFIXES)}{rng.choice(('-', '', '/', '_'))}{digits(rng, rng.randint(4, 7))}"
    elif shape == 5:
        number = digits(rng, rng.randint(5, 9))
    elif shape == 6:
        number = f"{rng.randint(2019, 2029)}-{digits(rng, rng.randint(3, 6))}"
    else:
        number = _free_shape(rng)
    return number.lower() if rng.random() < 0.08 else number


def brand(rng: random.Random) -> str:
    """An invented brand, sometimes with a model: "Velora", "Norlux 300", "Staria Pro"."""
    syllables = [
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + (rng.choice(_CODAS) if last else "")
        for last in ((False, True) if rng.random() < 0.7 else (False, False, True))
    ]
    name = "".join(syllables).capitalize()
    if rng.random() < 0.1:
        name = rng.choice("AEIO") + name.lower()
    kind = rng.random()
    if kind < 0.25:
        return f"{name} {rng.choice(_SUFFIXES)}"
    if kind < 0.5:
        return f"{name} {rng.choice(('', *_LETTERS))}{rng.randint(1, 9)}{rng.choice(('', '0', '00'))}"
    return name


def product(phrases: Phrases, rng: random.Random, kind: str) -> tuple[str, bool]:
    """A product, and whether its noun is feminine.

    Args:
        kind: "goods" or "services".
    """
    noun, feminine = rng.choice(phrases.products[kind])
    form = rng.random()
    if form < 0.6:
        return noun, feminine
    if form < 0.75:
        return brand(rng), False
    name = brand(rng)
    return (f"{name} {noun}" if phrases.noun_last else f"{noun} {name}"), feminine


def determiner(phrases: Phrases, name: str, noun: str, feminine: bool) -> str:
    """The determiner that agrees with a noun, with the space or apostrophe after it."""
    before_vowel = noun[0].lower() in _VOWEL_LETTERS
    return phrases.determiners[name][2 * before_vowel + feminine]


def value(phrases: Phrases, slot: str, rng: random.Random) -> str:
    """A random value for a slot other than the product and the order number; `{5}` stands for five digits.

    Raises:
        KeyError: no such slot.
    """
    if slot.isdigit():
        return digits(rng, int(slot))
    if slot in _RANGES:
        drawn = str(rng.randint(*_RANGES[slot]))
        return drawn.zfill(2) if slot in ("dd", "mm", "cc") else drawn
    drawn = rng.choice(phrases.values[_LISTS[slot]])
    return re.sub(r"\{(\w+)\}", lambda found: value(phrases, found[1], rng), drawn)
