"""Apps on stores of several kinds, with a worker that runs in the test itself."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import celery
import pytest
from celery import Celery, _state
from celery.exceptions import ImproperlyConfigured

from tests.backend.bench import Bench
from tests.backend.stores import KINDS, new_url
from tests.backend.tasks import add_tasks

_names = itertools.count()
MakeApp = Callable[..., Any]


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[MakeApp]:
    """Makes an app on a store: ``make_app("memory", result_expires=60)``."""
    apps = []
    before = _state._tls.current_app, _state.default_app

    def make(kind: str = "memory", query: str = "", url: str | None = None, **conf: Any) -> Any:
        app = Celery(f"backend-{next(_names)}", set_as_current=False, broker="memory://")
        app.conf.update(result_backend=f"kv+{url or new_url(kind, tmp_path, query)}")
        app.conf.update(conf)
        app.set_current()
        app.set_default()
        add_tasks(app)
        app.bench = Bench(app)
        apps.append(app)
        return app

    yield make
    for app in apps:
        with contextlib.suppress(ImproperlyConfigured):
            app.backend.store.close()
        app.close()
    _state._tls.current_app, _state.default_app = before


# What an older Celery does differently, it does on every store.
OLDER = celery.VERSION < (5, 7)
ON_NEWEST = [
    pytest.param(kind, marks=[pytest.mark.slow] if OLDER and kind != KINDS[0] else [])
    for kind in KINDS
]


@pytest.fixture(params=ON_NEWEST)
def kind(request: pytest.FixtureRequest) -> str:
    """Every kind of store in turn."""
    return str(request.param)


@pytest.fixture
def app(make_app: MakeApp, kind: str) -> Any:
    """An app on every kind of store in turn."""
    return make_app(kind)


@pytest.fixture
def backend(app: Any) -> Any:
    return app.backend


@pytest.fixture
def memory_app(make_app: MakeApp) -> Any:
    """An app on the memory store, for what does not depend on the store."""
    return make_app("memory")
