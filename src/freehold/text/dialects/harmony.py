"""OpenAI's harmony, which GPT-OSS speaks: an answer is a number of messages, each with a header.

    <|channel|>analysis<|message|>...<|end|>
    <|start|>assistant<|channel|>commentary to=functions.name <|constrain|>json<|message|>{...}<|call|>
    <|start|>assistant<|channel|>final<|message|>...<|return|>

The prompt ends after `<|start|>assistant`. The recipient of a call may also stand before the channel. What is said on
the channel for commentary without a recipient is for the user.
"""

from __future__ import annotations

import re

from freehold.text.dialects.calls import Call, call
from freehold.text.dialects.dialect import Dialect
from freehold.text.dialects.reading import Reader, Steps

START, CHANNEL, MESSAGE, CONSTRAIN = "<|start|>", "<|channel|>", "<|message|>", "<|constrain|>"
ENDS = ("<|end|>", "<|call|>", "<|return|>")
NAMESPACE = "functions."

_RECIPIENT = re.compile(r"(?<!\S)to=(\S+)")


def _parse(read: Reader) -> Steps[None]:
    ends = tuple(read.marker(name) for name in (START, *ENDS))
    header, marker = yield from _read_header(read, ends)
    if marker != read.marker(MESSAGE):
        read.out.content(header[""])  # text without a header
    while marker is not None:
        if marker == read.marker(MESSAGE):
            marker = yield from _read_body(read, header, ends)
        else:
            header, marker = yield from _read_header(read, ends)


def _read_header(read: Reader, ends: tuple[str, ...]) -> Steps[tuple[dict[str, str], str | None]]:
    """What the header says, by the marker before it ("" for none), up to `<|message|>` or where the message ends."""
    inner = {read.marker(name): name for name in (CHANNEL, CONSTRAIN)}
    header = {"": "", CHANNEL: "", CONSTRAIN: ""}
    kind: str | None = ""
    while kind is not None:
        text, marker = yield from read.gather((read.marker(MESSAGE), *inner, *ends))
        header[kind] += text
        kind = inner.get(marker or "")
    return header, marker


def _read_body(read: Reader, header: dict[str, str], ends: tuple[str, ...]) -> Steps[str | None]:
    recipient = _RECIPIENT.search(header[""]) or _RECIPIENT.search(header[CHANNEL])
    if recipient is not None:
        body, marker = yield from read.gather(ends)
        found = _call(read, recipient[1], body)
        if found is None:
            read.out.paragraph()
            read.out.content(body)
        else:
            read.out.call(found)
        return marker
    read.out.paragraph()
    is_reasoning = header[CHANNEL].split()[:1] == ["analysis"]
    return (yield from read.until(ends, read.out.reasoning if is_reasoning else read.out.content))


def _call(read: Reader, recipient: str, body: str) -> Call | None:
    tools = read.setting.tools
    if tools is None or not (recipient.startswith(NAMESPACE) or recipient in tools):
        return None
    return call(recipient.removeprefix(NAMESPACE), body)


def _forced(name: str | None) -> str:
    to = f"{CHANNEL}commentary to={NAMESPACE}"
    return to if name is None else f"{to}{name} {CONSTRAIN}json{MESSAGE}"


HARMONY = Dialect(
    "harmony",
    _parse,
    controls=frozenset({START, CHANNEL, MESSAGE, CONSTRAIN, *ENDS}),
    reasons=True,
    reasoning_field="thinking",
    forced=_forced,
    efforts=("low", "medium", "high"),
)
