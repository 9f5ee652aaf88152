from __future__ import annotations

import pytest
from starlette.testclient import TestClient

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


def test_the_fingerprint_names_version_and_model(client: TestClient) -> None:
    answer = client.post("/v1/completions", json={"model": "gpt-4o-mini", "prompt": "a"}).json()
    assert answer["system_fingerprint"].startswith("freehold-")
    assert "fake" in answer["system_fingerprint"]
