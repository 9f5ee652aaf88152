from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from freehold.errors import CheckpointError, FreeholdError, InvalidRequest, Overloaded, TemplateError
from freehold.server.errors import describe
from tests.server.fake_engine import FakeModel

CHAT = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "unknown_url"),
        ("GET", "/v1", 404, "unknown_url"),
        ("POST", "/v1/embeddings", 404, "unknown_url"),
        ("GET", "/v1/chat/completions/", 404, "unknown_url"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/models/fake", 405, "method_not_allowed"),
        ("BREW", "/v1/completions", 405, "method_not_allowed"),
        ("GET", "/v1/models/absent", 404, "model_not_found"),
        ("GET", "/v1/models/../../etc/passwd", 404, "unknown_url"),
        ("GET", "/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404, "model_not_found"),
        ("GET", "/openapi.json", 404, "unknown_url"),
        ("GET", "/docs", 404, "unknown_url"),
    ],
)
def test_routing_errors_have_openais_shape(client: TestClient, method: str, path: str, status: int, code: str) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert response.headers["x-should-retry"] == "false"
    if status == 405:
        assert response.headers["allow"] in error["message"]


def test_an_absent_model_is_named_with_those_there_are(client: TestClient) -> None:
    response = client.post("/v1/chat/completions", json={**CHAT, "model": "fale"})
    assert response.status_code == 404
    assert response.json()["error"] == {
        "message": "The model 'fale' does not exist. Served here: fake, gpt-4o-mini. Hint: did you mean 'fake'?",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


def test_a_fault_of_ours_says_nothing_of_itself(client: TestClient, model: FakeModel) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret of <object at 0x7f12> in /usr/lib/x.py")

    model.engine.submit = broken  # type: ignore[method-assign, assignment]
    response = client.post("/v1/chat/completions", json=CHAT)
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "secret" not in response.text
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["x-request-id"].startswith("req-")
    assert model.engine.admission.taken == 0


def test_a_failed_sequence_is_a_fault_of_ours(client: TestClient, model: FakeModel) -> None:
    model.engine.fails.set()
    response = client.post("/v1/chat/completions", json=CHAT)
    assert response.status_code == 500
    assert "0x7f" not in response.text
    assert "/opt" not in response.text


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("cannot read /srv/models/x.json", "cannot read x.json"),
        ("cannot read '/srv/a.gguf': broken", "cannot read 'a.gguf': broken"),
        (r"cannot read C:\models\x.json", "cannot read x.json"),
        ("served here: org/name", "served here: org/name"),
        ("see http://localhost:8000/v1", "see http://localhost:8000/v1"),
        ("1/2 of it", "1/2 of it"),
        ("use /v1/completions", "use /v1/completions"),
    ],
)
def test_folders_are_cut_off_paths(message: str, shown: str) -> None:
    assert describe(TemplateError(message)).message == shown


def test_what_is_not_written_for_clients_is_not_shown_to_them() -> None:
    for error in (FreeholdError("inner"), CheckpointError("inner"), ValueError("inner"), KeyError("inner")):
        failure = describe(error)
        assert failure.status == 500
        assert "inner" not in failure.message


def test_hints_follow_the_message() -> None:
    failure = describe(InvalidRequest("n is 9.", parameter="n", hint="use 8"))
    assert (failure.status, failure.message, failure.parameter) == (400, "n is 9. Hint: use 8", "n")


@pytest.mark.parametrize(
    ("seconds", "header", "milliseconds"), [(0.0, "1", "1"), (0.2, "1", "200"), (7.5, "8", "7500")]
)
def test_an_overload_says_when_to_come_back(seconds: float, header: str, milliseconds: str) -> None:
    failure = describe(Overloaded("full", retry_after=seconds))
    assert failure.status == 429
    assert failure.headers == {
        "retry-after": header,
        "retry-after-ms": milliseconds,
        "x-should-retry": "true",
    }
