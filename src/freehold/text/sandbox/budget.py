"""What one rendering may use: processor time, the size of a value, the sum of sizes."""

from __future__ import annotations

import time
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from freehold.errors import TemplateError

RENDER_SECONDS = 0.2
COMPILE_SECONDS = 1.0
MAX_SOURCE = 64 << 10
MAX_TOKENS = 12_000
MAX_OUTPUT = 1 << 20
MAX_VALUE = 2 << 20
MAX_TOTAL = 256 << 20  # generous: templates that add to one string turn by turn make many that are gone at once
MAX_ITEMS = 100_000
MAX_INTEGER_BITS = 4096
MAX_STEPS = 1 << 27
"""Character comparisons that one search may need at worst; about 0.1 s."""

Item = TypeVar("Item")


class Budget:
    """Counts what a rendering uses and ends it when it is too much."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadline = time.thread_time() + seconds
        self._total = 0

    def tick(self) -> None:
        """Checks the time.

        Raises:
            TemplateError: it is used up.
        """
        if time.thread_time() > self._deadline:
            raise TemplateError(
                f"the chat template needs more than {self._seconds * 1000:.0f} ms of processor time",
                hint="send fewer or shorter messages; if short ones fail as well, the template is at fault",
            )

    def check(self, size: int) -> None:
        """Checks a value's printed size.

        Raises:
            TemplateError: it is too large.
        """
        if size > MAX_VALUE:
            raise TemplateError(f"the chat template makes a value of {size} characters, more than {MAX_VALUE}")

    def charge(self, size: int) -> None:
        """Accounts for a new string of that size.

        Raises:
            TemplateError: it is too large, or the sum of all is.
        """
        self.check(size)
        self._total += size
        if self._total > MAX_TOTAL:
            raise TemplateError(f"the chat template makes values of more than {MAX_TOTAL} characters together")


_current: ContextVar[Budget | None] = ContextVar("budget", default=None)


def budget() -> Budget:
    """The budget of the rendering under way; code of a template runs nowhere else."""
    found = _current.get()
    if found is None:
        raise TemplateError("template code was run outside a rendering")
    return found


@contextmanager
def spending(seconds: float) -> Iterator[Budget]:
    """Runs a block under a new budget."""
    started = Budget(seconds)
    token = _current.set(started)
    try:
        yield started
    finally:
        _current.reset(token)


class _Weighed:
    """A container that knows its printed size, so that building on it costs nothing extra."""

    _weight: int


class WeighedList(list[object], _Weighed):
    """A list in a template."""


class WeighedTuple(tuple[object, ...], _Weighed):
    """A tuple in a template."""


class WeighedDict(dict[object, object], _Weighed):
    """A dictionary in a template."""


def weigh(value: object) -> int:
    """About the number of characters that a value takes when printed; at least its number of elements."""
    size = 32
    if isinstance(value, str):
        size = len(value) + 2
    elif isinstance(value, _Weighed):
        size = value._weight
    elif isinstance(value, int):
        size = value.bit_length() // 3 + 2
    elif isinstance(value, dict):
        size = _sum_of(part for pair in value.items() for part in pair)
    elif isinstance(value, (list, tuple, KeysView, ValuesView, ItemsView)):
        size = _sum_of(value)
    return size


def _sum_of(parts: Iterable[object]) -> int:
    size = 2
    for part in parts:
        size += weigh(part) + 2
        if size > MAX_VALUE:
            break
    return size


def weighed(value: object) -> object:
    """The value, charged to the budget; lists, tuples and dictionaries in the form that knows its size."""
    if isinstance(value, str):
        budget().charge(len(value))
        return value
    if isinstance(value, _Weighed):
        return value
    size = weigh(value)
    budget().check(size)
    if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        raise TemplateError(f"the chat template computes an integer of {value.bit_length()} bits")
    kept: WeighedList | WeighedTuple | WeighedDict
    if type(value) is list:
        kept = WeighedList(value)
    elif type(value) is tuple:
        kept = WeighedTuple(value)
    elif type(value) is dict:
        kept = WeighedDict(value)
    else:
        return value
    budget().charge(len(kept))
    kept._weight = size
    return kept


def concatenated(left: object, right: object) -> object | None:
    """The sum of two lists that know their size, without weighing it again; None for other operands."""
    if not (isinstance(left, WeighedList) and isinstance(right, WeighedList)):
        return None
    size = left._weight + right._weight
    budget().charge(len(left) + len(right))
    budget().check(size)
    kept = WeighedList(left)
    kept.extend(right)
    kept._weight = size
    return kept


def plain(value: object, what: str) -> object:
    """A copy of JSON-like data for a template to see.

    Raises:
        TemplateError: anything else than strings, numbers, true, false, null, lists and objects.
    """
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TemplateError(f"{what} has an object with the key {key!r:.40}, expected strings")
        return weighed({str(key): plain(item, what) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return weighed([plain(item, what) for item in value])
    if isinstance(value, str):
        return str.__str__(value)  # an enumeration member, say, without its methods
    raise TemplateError(f"{what} holds a {type(value).__name__}, which a template cannot be given")


def listed(values: Iterable[Item]) -> list[Item]:
    """The items of any iterable, as long as there are not too many.

    Raises:
        TemplateError: more than `MAX_ITEMS`.
    """
    items = []
    for item in values:
        items.append(item)
        if len(items) > MAX_ITEMS:
            raise TemplateError(f"the chat template makes a list of more than {MAX_ITEMS} items")
        if len(items) % 256 == 0:
            budget().tick()
    return items
