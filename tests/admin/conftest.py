"""An app on every store that lists."""

import pytest

from tests.backend.conftest import make_app
from tests.support.suites import java_is_slow

__all__ = ["make_app"]

LISTING = java_is_slow(
    ["memory", "sqlite", "redis", "mongodb", "postgresql", "elasticsearch", "cassandra"]
)


@pytest.fixture(params=LISTING)
def app(request, make_app):
    """An app with extended results on each store in turn, under a prefix of its own."""
    if request.param in {"memory", "sqlite"}:
        return make_app(request.param, result_extended=True, task_track_started=True)
    url = request.getfixturevalue(f"{request.param}_url")
    app = make_app(url=url, result_extended=True, task_track_started=True)
    app.conf.result_backend_transport_options = {"global_keyprefix": f"{id(app)}-"}
    return app
