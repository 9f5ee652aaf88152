from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI
from starlette.testclient import TestClient

from freehold.server.app import create_app
from freehold.server.settings import ServerSettings
from tests.server.fake_engine import FakeModel
from tests.server.live import Live, running


@pytest.fixture
def model() -> Iterator[FakeModel]:
    model = FakeModel()
    yield model
    model.close()


@pytest.fixture
def client(model: FakeModel) -> Iterator[TestClient]:
    """Talks to the application without a network."""
    app = create_app({"fake": model}, ServerSettings(aliases={"gpt-4o-mini": "fake"}))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client
    app.state.server.workers.close()


@pytest.fixture
def live(model: FakeModel) -> Iterator[Live]:
    """A server on a loopback port."""
    with running({"fake": model}) as live:
        yield live


@pytest.fixture
def openai(live: Live) -> Iterator[OpenAI]:
    """OpenAI's own client, as users have it but without its retries."""
    with OpenAI(base_url=live.url, api_key="none", max_retries=0) as client:
        yield client
