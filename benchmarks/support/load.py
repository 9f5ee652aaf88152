"""Open-loop load on an OpenAI-compatible server: requests come when they come, whether earlier ones are done or not."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

from benchmarks.support.figures import percentile
from benchmarks.support.sides import SideFailed

WORDS = """
    order parcel refund invoice delivery address password account late broken missing wrong size colour please thanks
    today yesterday received never charged twice card number help change cancel return
"""
SHARES = (0.5, 0.9, 0.99)
TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request: when it comes, in seconds after the beginning, and what it asks."""

    at: float
    prompt: str


@dataclass(slots=True)
class Answer:
    """What came back.

    Attributes:
        sent: when the request was sent, and `pieces` when pieces of text came, in seconds of one clock.
        tokens: generated, as the server counts them; the pieces where it does not.
        error: what went wrong; None of a whole answer.
    """

    sent: float
    pieces: list[float] = field(default_factory=list)
    tokens: int = 0
    error: str | None = None


def arrivals(count: int, rate: float, words: int, seed: int = 0) -> list[Arrival]:
    """Requests with exponentially distributed gaps, `rate` in a second on average; no two prompts begin alike, nor do
    any of two seeds."""
    draw = random.Random(seed)
    found, at = [], 0.0
    for number in range(count):
        found.append(Arrival(at, " ".join([f"{seed} {number}:", *draw.choices(WORDS.split(), k=words)])))
        at += draw.expovariate(rate)
    return found


def load(port: int, model: str, wanted: Sequence[Arrival], tokens: int) -> list[Answer]:
    """Send every request at its time, each from a thread of its own; answers in the order of arrivals."""
    began = time.perf_counter()
    answers = [Answer(began + one.at) for one in wanted]
    threads = []
    for arrival, answer in zip(wanted, answers, strict=True):
        time.sleep(max(0.0, answer.sent - time.perf_counter()))
        thread = threading.Thread(target=_ask, args=(port, model, arrival.prompt, tokens, answer))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    return answers


def whole_answer(port: int, model: str, prompt: str, tokens: int) -> float:
    """Seconds that a completion takes that comes in one piece.

    Raises:
        SideFailed: it did not come.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    body = json.dumps(_body(model, prompt, tokens))
    began = time.perf_counter()
    try:
        connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        spent = time.perf_counter() - began
    except (OSError, HTTPException) as error:
        raise SideFailed(f"the server did not answer: {error!r}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise SideFailed(f"the server answered with status {response.status}: {text[:300]!r}")
    return spent


def _body(model: str, prompt: str, tokens: int) -> dict[str, object]:
    return {"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 1.0, "seed": 1}


def _ask(port: int, model: str, prompt: str, tokens: int, answer: Answer) -> None:
    """Stream one completion."""
    body = {**_body(model, prompt, tokens), "stream": True, "stream_options": {"include_usage": True}}
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            answer.error = f"status {response.status}: {response.read(300)!r}"
            return
        for line in response:
            if line.startswith(b"data: {"):
                _note(json.loads(line[len(b"data: ") :]), answer)
    except (OSError, HTTPException, ValueError) as error:
        answer.error = repr(error)
    finally:
        connection.close()


def _note(chunk: dict[str, object], answer: Answer) -> None:
    choices, usage = chunk.get("choices"), chunk.get("usage")
    if isinstance(choices, list) and choices and choices[0].get("text"):
        answer.pieces.append(time.perf_counter())
        answer.tokens += 1
    if isinstance(usage, dict):
        answer.tokens = int(usage["completion_tokens"])
    if "error" in chunk:
        answer.error = json.dumps(chunk["error"])


def summary(answers: Sequence[Answer]) -> dict[str, object]:
    """Percentiles in seconds over all requests, and tokens per second from the first request to the last piece.

    Raises:
        ValueError: nothing was answered.
    """
    whole = [one for one in answers if one.error is None and one.pieces]
    if not whole:
        raise ValueError(f"no request was answered; the first said {answers[0].error}")
    first = [one.pieces[0] - one.sent for one in whole]
    between = [later - earlier for one in whole for earlier, later in zip(one.pieces, one.pieces[1:], strict=False)]
    spent = max(one.pieces[-1] for one in whole) - min(one.sent for one in whole)
    result: dict[str, object] = {
        "answered": len(whole),
        "failed": len(answers) - len(whole),
        "tokens_per_second": sum(one.tokens for one in whole) / spent,
    }
    for name, values in (("first_token", first), ("inter_token", between)):
        for share in SHARES:
            result[f"{name}_p{round(100 * share)}"] = percentile(values, share) if values else None
    return result
