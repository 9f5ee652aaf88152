"""Which control tokens end an answer."""

from __future__ import annotations

from collections.abc import Collection

_ENDS = frozenset({
    "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>",
    "<|eot|>", "<|eom|>", "<EOT>", "<end_of_utterance>", "<｜end▁of▁sentence｜>", "<|return|>", "<|call|>",
})  # fmt: skip


def turn_ends(names: Collection[str]) -> frozenset[str]:
    """Those of a vocabulary's control tokens that end an answer, even where its settings name only another as EOS.

    In harmony `<|end|>` ends a message, and an answer consists of several.
    """
    harmony = {"<|return|>", "<|call|>"} <= set(names)
    return frozenset(name for name in names if name in _ENDS and not (harmony and name == "<|end|>"))
