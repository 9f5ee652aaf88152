"""Whether two models mean the same by their token ids."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.errors import InvalidRequest
from freehold.text.tokenizer import Tokenizer

# Differences that a message lists.
LISTED = 3


@dataclass(frozen=True, slots=True)
class NamedTokenizer:
    """A tokenizer and the name of its model, for messages."""

    name: str
    tokenizer: Tokenizer


def require_same_tokens(model: NamedTokenizer, draft: NamedTokenizer) -> None:
    """Check that every token id stands for the same text in both; ids that stand for nothing (padding) may be missing.

    Raises:
        InvalidRequest: naming both sizes, how many ids differ, and the first of them.
    """
    ours, theirs = model.tokenizer, draft.tokenizer
    ids = range(max(ours.vocab_size, theirs.vocab_size))
    different = [token_id for token_id in ids if ours.token_bytes(token_id) != theirs.token_bytes(token_id)]
    if not different:
        return
    listed = "; ".join(
        f"token {token_id} is {_shown(ours, token_id)} in {model.name} and {_shown(theirs, token_id)} in {draft.name}"
        for token_id in different[:LISTED]
    )
    raise InvalidRequest(
        f"{draft.name}, with {theirs.vocab_size} tokens, cannot draft for {model.name}, with {ours.vocab_size}: "
        f"{len(different)} of the ids stand for something else; {listed}",
        parameter="draft_model",
        hint="take a smaller model of the same family, which has the same tokenizer",
    )


def _shown(tokenizer: Tokenizer, token_id: int) -> str:
    return repr(tokenizer.token_text(token_id)) if tokenizer.token_bytes(token_id) else "nothing"
