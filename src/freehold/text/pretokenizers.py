"""How byte-level vocabularies cut text into words before merging: data, one row per published convention.

The patterns are part of each model's file format: they must equal those that the model was trained with. They follow
the `tokenizer.json` files of the models (Oniguruma syntax) and, where a model was released with tiktoken, its patterns.
The names are those of the GGUF key `tokenizer.ggml.pre`, and a few of our own for tiktoken's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from freehold.errors import TokenizerError

_CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_MARKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def _cased_words(end: str) -> str:
    """Words that break where upper case follows lower case, each with an optional ending."""
    return rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{end}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{end}"


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
LLAMA3 = rf"{_CONTRACTION}|{_WORD}|\p{{N}}{{1,3}}|{_MARKS}|{_SPACES}"
QWEN2 = rf"{_CONTRACTION}|{_WORD}|\p{{N}}|{_MARKS}|{_SPACES}"
QWEN35 = (
    rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACES}"
)
O200K = _cased_words(_CONTRACTION + "?") + rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
TEKKEN = _cased_words("") + rf"|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
_KIMI_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
_KIMI_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
KIMI_K2 = (
    rf"[\p{{Han}}]+|[^\r\n\p{{L}}\p{{N}}]?{_KIMI_UPPER}*{_KIMI_LOWER}+{_CONTRACTION}?"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_KIMI_UPPER}+{_KIMI_LOWER}*{_CONTRACTION}?|\p{{N}}{{1,3}}|{_MARKS}|{_SPACES}"
)
_HAN = r"[\x{4E00}-\x{9FA5}\x{0800}-\x{4E00}\x{AC00}-\x{D7FF}]+"
# Letters with case, as of the Unicode version that DeepSeek used. Code points, because some change under NFC.
_DEEPSEEK_CASED = """
    0041-005A 0061-007A 00B5 00C0-00D6 00D8-00F6 00F8-01BA 01BC-01BF 01C4-0293 0295-02AF 0370-0373 0376 0377 037B-037D
    037F 0386 0388-038A 038C 038E-03A1 03A3-03F5 03F7-0481 048A-052F 0531-0556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA
    1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D
    1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113
    2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4
    2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A
    FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943
"""
_DEEPSEEK_LETTERS = (
    r"\s?[" + "".join(re.sub("([0-9A-F]+)", r"\\x{\1}", part) for part in _DEEPSEEK_CASED.split()) + "]+"
)
_DEEPSEEK_MARKS = r"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+"
_DEEPSEEK3_HAN = r"[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+"
_DEEPSEEK3_REST = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
    + _SPACES
)
_BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """One convention.

    Attributes:
        patterns: applied one after the other; each match, and each stretch between matches, becomes a word.
        whole_words: a word that is in the vocabulary is taken whole, without merging up to it.
        composes: text is brought to Unicode NFC first.
        opens: the beginning-of-sequence token is put before texts unless the file says otherwise.
    """

    patterns: tuple[str, ...]
    whole_words: bool = False
    composes: bool = False
    opens: bool = False


_GPT2 = PreTokenizer((GPT2,))
_LLAMA3 = PreTokenizer((LLAMA3,), whole_words=True, opens=True)
_QWEN2 = PreTokenizer((QWEN2,), composes=True)
_DIGITS_THEN_GPT2 = PreTokenizer((r"\p{N}", GPT2))
_O200K = PreTokenizer((O200K,))

_CONVENTIONS: dict[PreTokenizer, tuple[str, ...]] = {
    # what llama.cpp does for files that do not name their convention
    PreTokenizer((r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]")): ("default",),
    _GPT2: (
        "gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "jina-es", "jina-de",
        "jina-v1-en", "jina-v2-es", "jina-v2-de", "jina-v2-code", "roberta-bpe", "gigachat", "a.x-4.0", "mellum",
        "modern-bert", "exaone4",
    ),
    _LLAMA3: ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"),
    PreTokenizer((LLAMA3,)): ("dbrx", "smaug-bpe", "glm4", "chatglm-bpe"),
    _QWEN2: ("qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"),
    PreTokenizer((QWEN2,)): ("stablelm2", "hunyuan", "grok-2", "solar-open"),
    PreTokenizer((QWEN35,), composes=True): ("qwen35",),
    _O200K: ("gpt-4o", "llama4", "kanana2", "minimax-m2", "o200k"),
    PreTokenizer((CL100K,)): ("cl100k",),
    PreTokenizer((TEKKEN,), whole_words=True, opens=True): ("tekken",),
    PreTokenizer((KIMI_K2,)): ("kimi-k2",),
    PreTokenizer(("[\r\n]", _DEEPSEEK_LETTERS, _DEEPSEEK_MARKS, r"\s+$", _HAN, r"\p{N}+")): ("deepseek-llm",),
    PreTokenizer(("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _HAN, r"\p{N}")): ("deepseek-coder",),
    PreTokenizer((r"\p{N}{1,3}", _DEEPSEEK3_HAN, _DEEPSEEK3_REST)): ("deepseek-v3", "hunyuan-dense", "joyai-llm"),
    PreTokenizer((r"[\p{P}$+<=>^~|`]+", GPT2, "[0-9][0-9][0-9]")): ("falcon",),
    _DIGITS_THEN_GPT2: ("starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"),
    PreTokenizer((_BLOOM,)): ("bloom", "poro-chat", "gpt3-finnish"),
    PreTokenizer((_BLOOM, r"\p{N}")): ("viking",),
    PreTokenizer((rf"'(?i:[sdmt]|ll|ve|re)|{_WORD}|\p{{N}}|{_MARKS}|\s*[\r\n]|\s+(?!\S)|\s+",)): (
        "bailingmoe", "bailingmoe2", "llada-moe",
    ),
    PreTokenizer((rf"{_CONTRACTION}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_SPACES}",)): ("seed-coder",),
}  # fmt: skip

_BY_NAME = {name: convention for convention, names in _CONVENTIONS.items() for name in names}


def pre_tokenizer(name: str) -> PreTokenizer:
    """The convention of that name.

    Raises:
        TokenizerError: an unknown name.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        known = ", ".join(sorted(_BY_NAME))
        raise TokenizerError(f"unknown pre-tokenizer {name!r}", hint=f"known are {known}") from None


def name_of(convention: PreTokenizer) -> str:
    """A name of a convention, whatever it says about opening texts, which files say for themselves.

    Raises:
        TokenizerError: it is not among the conventions.
    """
    for known, names in _CONVENTIONS.items():
        if replace(known, opens=convention.opens) == convention:
            return names[0]
    raise TokenizerError(
        f"GGUF has no name for cutting words by {' and then '.join(convention.patterns):.200}",
        hint="export to safetensors",
    )
