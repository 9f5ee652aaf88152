"""Serves the fake model until a signal: `python -m tests.server.fake_server GRACE LOADING`, both in seconds."""

from __future__ import annotations

import sys
import threading

from freehold.engine.observer import Observer
from freehold.errors import ModelNotFound
from freehold.server.run import serve
from freehold.server.settings import ServerSettings
from tests.server.fake_engine import FakeModel


def main(grace: float, loading: float) -> None:
    def load(observer: Observer) -> FakeModel:
        print("loading", flush=True)
        if loading < 0:
            raise ModelNotFound("there is no model 'fake'")
        threading.Event().wait(loading)
        model = FakeModel(observer=observer)
        model.engine.pace = 0.01
        return model

    settings = ServerSettings(port=0, grace=grace)
    serve({"fake": load}, settings, on_ready=lambda url: print(url, flush=True))
    print("stopped", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]))
