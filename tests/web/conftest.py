"""An app with results on several stores, and a client that asks its pages."""

import pytest
from starlette.testclient import TestClient

from kvbackends.web import app_for
from tests.backend.conftest import make_app

__all__ = ["make_app"]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def app(request, make_app):
    """An app with extended results on each store in turn, under a prefix of its own."""
    if request.param != "redis":
        return make_app(request.param, result_extended=True, task_track_started=True)
    app = make_app(
        url=request.getfixturevalue("redis_url"), result_extended=True, task_track_started=True
    )
    app.conf.result_backend_transport_options = {"global_keyprefix": f"{id(app)}-"}
    return app


@pytest.fixture
def memory_app(make_app):
    """An app on the memory store, for what does not depend on the store."""
    return make_app("memory", result_extended=True)


@pytest.fixture
def client(app):
    with TestClient(app_for(app), follow_redirects=False) as client:
        yield client


@pytest.fixture
def acting(app):
    """A client of pages that may change something."""
    with TestClient(app_for(app, allow_actions=True), follow_redirects=False) as client:
        yield client
