"""GPT-2's pair of files: `vocab.json` (piece -> id) and `merges.txt` (a merge per line, the first to be done first).

Neither says how text is cut into words; `tokenizer_class` beside them does, and without it GPT-2's way is meant, for
which these files were made. Qwen's `vocab.json` needs no `merges.txt`: there, a merge's rank is the id of what it
makes.
"""

from __future__ import annotations

from pathlib import Path

from freehold.errors import TokenizerError
from freehold.text.pretokenizers import pre_tokenizer
from freehold.text.sources.byte_level import byte_level_tokenizer, merges_from_ranks
from freehold.text.sources.files import MAX_TOKENIZER_BYTES, read_json_object, read_text, token_id
from freehold.text.sources.settings import AddedPiece, Settings
from freehold.text.tokenizer import Marks, Tokenizer

_CONVENTION_OF_CLASS = {
    None: "gpt-2",
    "GPT2Tokenizer": "gpt-2",
    "RobertaTokenizer": "gpt-2",
    "Qwen2Tokenizer": "qwen2",
}
_RANKED_BY_ID = frozenset({"qwen2"})


def vocab_and_merges_tokenizer(folder: Path, settings: Settings) -> Tokenizer:
    """A tokenizer from `vocab.json` and, unless the family ranks merges by id, `merges.txt`.

    Raises:
        TokenizerError: damaged files, no merges, or an unknown tokenizer class.
    """
    name = (settings.tokenizer_class or "").removesuffix("Fast") or None
    if name not in _CONVENTION_OF_CLASS:
        known = ", ".join(filter(None, _CONVENTION_OF_CLASS))
        raise TokenizerError(f"vocab.json with the unknown tokenizer class {name!r}", hint=f"known are {known}")
    convention = _CONVENTION_OF_CLASS[name]
    vocabulary = {
        piece: token_id(number, f"vocab.json: {piece!r:.40}")
        for piece, number in read_json_object(folder / "vocab.json", MAX_TOKENIZER_BYTES).items()
    }
    added = settings.added or _gpt2_end_of_text(vocabulary)
    special = {piece.text: piece.token_id for piece in added if piece.special}
    user_defined = {piece.text: piece.token_id for piece in added if not piece.special}
    ordinary = {piece: number for piece, number in vocabulary.items() if piece not in special}
    merges_file = folder / "merges.txt"
    if merges_file.exists():
        merges = parse_merges(read_text(merges_file, MAX_TOKENIZER_BYTES))
    elif convention in _RANKED_BY_ID:
        merges = merges_from_ranks(ordinary)
    else:
        raise TokenizerError("vocab.json has no merges.txt beside it", hint="get the model's merges.txt as well")
    return byte_level_tokenizer(
        ordinary,
        merges,
        pre_tokenizer(convention),
        special=special,
        user_defined=user_defined,
        marks=_marks(settings, {**ordinary, **special, **user_defined}),
    )


def parse_merges(text: str) -> list[tuple[str, str]]:
    """The merges of a `merges.txt`.

    Raises:
        TokenizerError: a line that is not two pieces.
    """
    merges = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, space, right = line.rstrip("\r").partition(" ")
        if not (left and space and right) or " " in right:
            raise TokenizerError(f"line {number} of the merges is {line!r:.60}, expected two pieces")
        merges.append((left, right))
    return merges


def _gpt2_end_of_text(vocabulary: dict[str, int]) -> tuple[AddedPiece, ...]:
    """The one control token that GPT-2's files hold without naming it."""
    name = "<|endoftext|>"
    return (AddedPiece(name, vocabulary[name], special=True),) if name in vocabulary else ()


def _marks(settings: Settings, ids: dict[str, int]) -> Marks:
    bos, eos = ids.get(settings.bos_token or ""), ids.get(settings.eos_token or "")
    ends = [*settings.eos_ids, *([] if eos is None else [eos])]
    return Marks(
        bos_id=bos,
        eos_ids=tuple(dict.fromkeys(ends)),
        opening=(bos,) if settings.add_bos and bos is not None else (),
        closing=(eos,) if settings.add_eos and eos is not None else (),
    )
