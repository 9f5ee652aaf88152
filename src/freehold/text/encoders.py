"""The two ways from text to ids, both through the `tokenizers` library.

`LibraryEncoder` runs a `tokenizer.json` as the library reads it. `SplittingEncoder` is for vocabularies that we
assemble ourselves: control tokens are cut out of the text first and the model underneath does not know them, so plain
text cannot turn into one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TypeVar

from tokenizers import AddedToken
from tokenizers import Tokenizer as LibraryTokenizer
from tokenizers.models import WordLevel

from freehold.errors import TokenizerError

Result = TypeVar("Result")


def guarded(what: str, action: Callable[[], Result]) -> Result:
    """Runs a call into the library and turns its failures, panics included, into TokenizerError."""
    try:
        return action()
    except (TokenizerError, MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library's panics are no Exception
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TokenizerError(f"{what}: {reason}", hint="the tokenizer files may be damaged; get them again") from error


class LibraryEncoder:
    """Encodes as a `tokenizer.json` says.

    Args:
        tokenizer: the library's tokenizer, without truncation and padding.
        special: the control tokens, by name.
    """

    def __init__(self, tokenizer: LibraryTokenizer, special: Mapping[str, int]) -> None:
        self._tokenizer = tokenizer
        self._special = special
        self._special_ids = frozenset(special.values())

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        if parse_special:
            return _ids(self._tokenizer, text)
        ids = _ids(self._plain, text)
        if self._special_ids.isdisjoint(ids):
            return ids
        # Some models (Unigram) hold their control tokens as ordinary pieces: break up the names so that none can match.
        return [token_id for part in _broken_up(text, self._special) for token_id in _ids(self._plain, part)]

    @cached_property
    def _plain(self) -> LibraryTokenizer:
        """The same tokenizer, blind to control tokens; the model and its vocabulary are shared."""
        plain = LibraryTokenizer(self._tokenizer.model)
        if self._tokenizer.normalizer is not None:
            plain.normalizer = self._tokenizer.normalizer
        if self._tokenizer.pre_tokenizer is not None:
            plain.pre_tokenizer = self._tokenizer.pre_tokenizer
        added = self._tokenizer.get_added_tokens_decoder()
        for _, token in sorted(added.items()):
            plain.add_tokens([token])  # one by one and in order, which gives each the id that it has in the file
        plain.encode_special_tokens = True
        if set(plain.get_added_tokens_decoder()) != set(added):
            raise TokenizerError("the added tokens of tokenizer.json have ids that do not follow its vocabulary")
        return plain


class SplittingEncoder:
    """Cuts control tokens out of the text and encodes what is between them.

    Args:
        tokenizer: encodes plain text; does not know the control tokens.
        special: the control tokens, by name.
        prepare: (a stretch of plain text, whether it begins the text) -> what the tokenizer gets.
    """

    def __init__(
        self,
        tokenizer: LibraryTokenizer,
        special: Mapping[str, int],
        prepare: Callable[[str, bool], str] = lambda text, begins: text,
    ) -> None:
        self._tokenizer = tokenizer
        self._special = special
        self._prepare = prepare

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        ids: list[int] = []
        for position, part in self._parts(text) if parse_special else [(0, text)]:
            if isinstance(part, int):
                ids.append(part)
            elif part:
                ids.extend(_ids(self._tokenizer, self._prepare(part, position == 0)))
        return ids

    def _parts(self, text: str) -> Iterator[tuple[int, str | int]]:
        """Stretches of plain text and ids of control tokens, each with its position."""
        if not self._special:
            yield 0, text
            return
        found = guarded("the control tokens cannot be found", lambda: self._splitter.encode(text))
        for name, (start, end) in zip(found.tokens, found.offsets, strict=True):
            token_id = self._special.get(name)
            yield start, text[start:end] if token_id is None else token_id

    @cached_property
    def _splitter(self) -> LibraryTokenizer:
        """A tokenizer whose only tokens are the control tokens: linear in the text however many there are."""
        rest = ""  # no control token has an empty name
        splitter = LibraryTokenizer(WordLevel({rest: 0}, unk_token=rest))
        splitter.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in self._special])
        return splitter


def _ids(tokenizer: LibraryTokenizer, text: str) -> list[int]:
    return guarded("the text cannot be encoded", lambda: tokenizer.encode(text, add_special_tokens=False).ids)


def _broken_up(text: str, names: Mapping[str, int]) -> list[str]:
    """The text, cut after the first character of every control token's name in it."""
    longest_first = sorted(names, key=len, reverse=True)
    pattern = re.compile("|".join(f"(?={re.escape(name)})" for name in longest_first))
    cuts = [found.start() + 1 for found in pattern.finditer(text)]
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
