from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from freehold import __version__
from freehold.errors import InvalidRequest
from freehold.server.app import create_app
from freehold.server.settings import ServerSettings
from tests.server.fake_engine import FakeModel


def test_models_and_aliases_are_listed(client: TestClient, model: FakeModel) -> None:
    answer = client.get("/v1/models").json()
    assert answer["object"] == "list"
    assert [(entry["id"], entry["root"]) for entry in answer["data"]] == [("fake", "fake"), ("gpt-4o-mini", "fake")]
    for entry in answer["data"]:
        assert entry["object"] == "model"
        assert isinstance(entry["created"], int)
        assert entry["max_model_len"] == model.engine.context_length
        assert client.get(f"/v1/models/{entry['id']}").json() == entry


def test_ids_may_hold_slashes(model: FakeModel) -> None:
    app = create_app({"org/name:Q4_K_M": model})
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.get("/v1/models/org/name:Q4_K_M").json()["id"] == "org/name:Q4_K_M"
        assert client.get("/v1/models/org%2Fname:Q4_K_M").json()["id"] == "org/name:Q4_K_M"
        assert client.get("/v1/models/org").status_code == 404


@pytest.mark.parametrize(("aliases", "says"), [({"a": "absent"}, "absent"), ({"fake": "fake"}, "has that name")])
def test_aliases_that_cannot_be(model: FakeModel, aliases: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        create_app({"fake": model}, ServerSettings(aliases=aliases))


def test_the_fingerprint_tells_version_model_and_weights() -> None:
    def fingerprint(model: FakeModel, name: str = "fake") -> str:
        with TestClient(create_app({name: model}), base_url="http://127.0.0.1") as client:
            answer = client.post("/v1/completions", json={"model": name, "prompt": "a"}).json()
        model.close()
        found: str = answer["system_fingerprint"]
        return found

    first = fingerprint(FakeModel())
    assert re.fullmatch(rf"freehold-{re.escape(__version__)}-fake-[0-9a-f]{{8}}", first)
    assert fingerprint(FakeModel()) == first
    assert fingerprint(FakeModel(weights=b"other")) != first
    assert fingerprint(FakeModel(), "other") != first
