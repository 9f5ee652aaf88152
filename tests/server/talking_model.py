"""A model that says what a test tells it to, in the dialect and through the template of a released family."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from freehold.engine.stopping import Detokeniser
from freehold.engine.types import GenerationRequest
from freehold.text import ChatTemplate, Tokenizer
from freehold.text.dialects import DIALECTS, dialect_of
from freehold.text.tokenizer import Marks, Vocabulary
from tests.server.fake_engine import BOS, EOS, FakeEngine, FakeModel, byte_tokenizer

FIRST = 258
SIZE = 300


def tokenizer_with(names: Iterable[str]) -> Tokenizer:
    """A token per byte, and control tokens of these names."""
    plain = byte_tokenizer()
    controls = {name: FIRST + number for number, name in enumerate(names)}
    special = {**plain.special_tokens, **controls}
    by_id = {token_id: name for name, token_id in special.items()}
    spelling = plain._vocabulary.spelling
    vocabulary = Vocabulary(
        size=SIZE,
        piece=lambda token_id: by_id.get(token_id, chr(token_id)),
        spelling=spelling,
        special=special,
        raw=frozenset(by_id),
    )
    return Tokenizer(_Encoder(controls), vocabulary, Marks(bos_id=BOS, eos_ids=(EOS,), opening=(BOS,)))


class _Encoder:
    def __init__(self, controls: dict[str, int]) -> None:
        self._controls = controls

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        ids: list[int] = []
        at = 0
        while at < len(text):
            name = next((name for name in self._controls if parse_special and text.startswith(name, at)), None)
            ids += list(text[at].encode()) if name is None else [self._controls[name]]
            at += 1 if name is None else len(name)
        return ids


class TalkingEngine(FakeEngine):
    """Says the text of its `says`, in which the names of control tokens are those tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.says: Callable[[GenerationRequest], str] = lambda request: ""
        self._tokenizer = tokenizer
        super().__init__(context_length=1 << 16)

    def _text(self, request: GenerationRequest) -> Detokeniser:
        return self._tokenizer.detokeniser(continues=True, shown=request.shown)

    def _plan(self, request: GenerationRequest) -> list[int]:
        return [*self._tokenizer.encode(self.says(request), add_special=False), EOS]


class TalkingModel(FakeModel):
    """A fake model with a real template.

    Args:
        source: the template's.
        controls: whether the dialect's markers are control tokens.
    """

    def __init__(self, source: str, *, controls: bool = True) -> None:
        super().__init__()
        self.engine.close()
        self.dialect = DIALECTS[dialect_of(source)]
        self.tokenizer = tokenizer_with(sorted(self.dialect.controls) if controls else ())
        self.config = type(self.config)(SIZE)
        self.template = ChatTemplate(source, "<bos>", "<eos>")  # type: ignore[assignment]
        self.talking = self.engine = TalkingEngine(self.tokenizer)

    def say(self, text: str) -> None:
        """What to answer from now on."""
        self.talking.says = lambda request: text

    @property
    def prompt(self) -> str:
        """The latest prompt, control tokens by name."""
        return self.tokenizer.decode(self.engine.submitted[-1].prompt, skip_special=False)
