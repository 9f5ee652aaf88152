"""Request bodies: bounded in size and time, strict JSON, always an object."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter

from starlette.requests import Request

from freehold.errors import InvalidRequest
from freehold.server.errors import RequestTimeout, RequestTooLarge, UnsupportedEncoding

TYPE_NAMES = {
    "dict": "an object",
    "list": "an array",
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "NoneType": "null",
}
"""What Python's types are called in JSON."""

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


async def read_body(request: Request, *, limit: int, timeout: float) -> bytes:
    """The request's body.

    Args:
        limit: most bytes.
        timeout: seconds until the whole body must have arrived.

    Raises:
        RequestTooLarge, RequestTimeout, UnsupportedEncoding: named by what they mean.
    """
    try:
        async with asyncio.timeout(timeout):
            return await _read(request, limit)
    except TimeoutError:
        raise RequestTimeout(f"The request body did not arrive within {timeout:g} seconds.") from None


async def _read(request: Request, limit: int) -> bytes:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedEncoding(f"Content-Encoding '{encoding[:32]}' is not supported; send the body as it is.")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise _too_large(limit)
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise _too_large(limit)
    return bytes(data)


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The request body is larger than this server's limit of {limit} bytes.")


def parse_object(data: bytes) -> dict[str, object]:
    """Strict JSON: no NaN or Infinity, no duplicate keys, no lone surrogates, no nesting that exhausts the stack.

    Raises:
        InvalidRequest: with the position, where there is one.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise _invalid(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _invalid(f"{error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise _invalid("it is nested too deeply") from None
    except ValueError:  # Python refuses to convert integers of more than some thousands of digits
        raise _invalid("a number has too many digits") from None
    if not isinstance(value, dict):
        name = TYPE_NAMES[type(value).__name__]
        raise InvalidRequest(f"The request body must be a JSON object, but it is {name}.", code="invalid_type")
    if _SURROGATE_ESCAPE.search(data) and not _is_unicode(value):
        raise _invalid("a string holds half of a surrogate pair")
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        # Parsers disagree on which one counts, so an honest server picks neither.
        raise InvalidRequest(f"The key {json.dumps(twice)} is there twice.", code="invalid_json")
    return result


def _refuse_constant(name: str) -> object:
    raise _invalid(f"{name} is not a JSON number")


def _is_unicode(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _invalid(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The request body is not valid JSON: {reason}.", code="invalid_json")
