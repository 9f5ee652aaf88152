"""A model's tokenizer: text to token ids and back, whatever files it came from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from freehold.errors import InvalidRequest, TokenizerError
from freehold.text.content import Content
from freehold.text.detokeniser import Detokeniser
from freehold.text.spelling import Spelling


class Encoder(Protocol):
    """Text to ids, without the marks at its start and end."""

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        """The ids of a text.

        Args:
            text: any text without lone surrogates.
            parse_special: whether the names of control tokens in the text become those tokens.
        """
        ...


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The pieces of a tokenizer.

    Attributes:
        size: one more than the highest id.
        piece: id -> the piece as stored, or None where the vocabulary has no such id.
        spelling: how pieces become bytes.
        special: the control tokens, by name.
        raw: ids whose pieces are plain text whatever the spelling, the control tokens among them.
    """

    size: int
    piece: Callable[[int], str | None]
    spelling: Spelling
    special: Mapping[str, int] = field(default_factory=dict)
    raw: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Marks:
    """The tokens around a text.

    Attributes:
        bos_id: the token that begins a text, if the model has one.
        eos_ids: every token that ends a generation.
        opening: what is put before a text when special tokens are added.
        closing: what is put after it.
    """

    bos_id: int | None = None
    eos_ids: tuple[int, ...] = ()
    opening: tuple[int, ...] = ()
    closing: tuple[int, ...] = ()


class Tokenizer:
    """Text to ids and back. Safe to share between threads."""

    def __init__(
        self, encoder: Encoder, vocabulary: Vocabulary, marks: Marks, content: Callable[[], Content] | None = None
    ) -> None:
        """Put a tokenizer together.

        Args:
            content: what it consists of, for writing it in another format; None for kinds that are not written.
        """
        self._encoder = encoder
        self._vocabulary = vocabulary
        self._marks = marks
        self._content = content
        self._special = MappingProxyType(dict(vocabulary.special))
        self._skipped = frozenset(self._special.values())
        self._spelled: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})

    @property
    def vocab_size(self) -> int:
        """One more than the highest token id; a model's output may be wider (padding)."""
        return self._vocabulary.size

    @property
    def bos_id(self) -> int | None:
        """The token that begins a text, if the model has one."""
        return self._marks.bos_id

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """Every token that ends a generation."""
        return self._marks.eos_ids

    @property
    def opening(self) -> tuple[int, ...]:
        """What is put before a text when special tokens are added."""
        return self._marks.opening

    @property
    def closing(self) -> tuple[int, ...]:
        """What is put after a text when special tokens are added."""
        return self._marks.closing

    def content(self) -> Content:
        """What the tokenizer consists of.

        Raises:
            TokenizerError: it is of a kind that we do not write, or that only its own format can describe.
        """
        if self._content is None:
            raise TokenizerError("tokenizers of this kind cannot be written in another format")
        return self._content()

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """The control tokens: never made from plain text, left out of decoded text unless asked for."""
        return self._special

    def encode(self, text: str, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """The token ids of a text.

        Args:
            text: the text; an empty one gives only the marks, if any.
            add_special: put the marks (BOS, EOS) around it that the model's configuration asks for.
            parse_special: let the names of control tokens in the text stand for those tokens. Without it, the text
                `<|eot_id|>` in somebody's message is just text; only vocabulary entries that are ordinary text for the
                model (not control tokens) are still matched whole.

        Raises:
            InvalidRequest: half of a surrogate pair in the text.
            TokenizerError: the tokenizer cannot encode this text (a damaged file).
        """
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"character {error.start} of the text is half of a surrogate pair, which is not a character",
                hint="send the text as valid UTF-8",
            ) from error
        ids = self._encoder.encode(text, parse_special=parse_special)
        if not add_special:
            return ids
        return [*self._marks.opening, *ids, *self._marks.closing]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True, continues: bool = False) -> str:
        """The text of token ids.

        Args:
            ids: token ids; those that the vocabulary does not have stand for nothing.
            skip_special: leave control tokens out.
            continues: the ids go on from earlier ones, so that the space which some vocabularies put before a text is
                kept.

        Raises:
            TokenizerError: a negative id.
        """
        stream = self.detokeniser(skip_special, continues=continues)
        parts = [stream.push(token_id) for token_id in ids]
        parts.append(stream.finish())
        return "".join(parts)

    def detokeniser(
        self, skip_special: bool = True, *, continues: bool = False, shown: Collection[int] = ()
    ) -> Detokeniser:
        """A stream that does what `decode` does, one token at a time.

        Args:
            shown: control tokens that are not left out, but stand in the text as `detokeniser.CONTROL_MARK` and name.
        """
        spelling = self._vocabulary.spelling
        return Detokeniser(
            self._spell_visible if skip_special else self._spell,
            trim=spelling.trim,
            trim_limit=spelling.trim_limit,
            continues=continues,
            shown={token_id: self.token_text(token_id) for token_id in shown},
        )

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for in the middle of a text; a control token stands for its name.

        An id that the vocabulary does not have (a model's padding) stands for no bytes.

        Raises:
            TokenizerError: a negative id.
        """
        return self._spell(token_id, False) or b""

    def token_text(self, token_id: int) -> str:
        """`token_bytes` as text, with U+FFFD for bytes that are no character by themselves."""
        return self.token_bytes(token_id).decode("utf-8", "replace")

    def _spell_visible(self, token_id: int, opens: bool) -> bytes | None:
        return None if token_id in self._skipped else self._spell(token_id, opens)

    def _spell(self, token_id: int, opens: bool) -> bytes | None:
        known = self._spelled[opens].get(token_id)
        if known is not None:
            return known
        if token_id < 0:
            raise TokenizerError(f"token ids are not negative, got {token_id}")
        piece = self._vocabulary.piece(token_id) if token_id < self._vocabulary.size else None
        if piece is None:
            return None
        if token_id in self._vocabulary.raw:
            data = piece.encode("utf-8", "surrogatepass")
        else:
            data = self._vocabulary.spelling.spell(piece, opens=opens)
        self._spelled[opens][token_id] = data
        return data
