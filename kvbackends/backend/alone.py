"""Backends without an application's own, for operators who have URLs."""

from typing import Any

from celery import Celery
from celery.app import backends


def app_of(url: str, like: Any = None) -> Any:
    """An app whose result backend is the store at `url`, with or without ``kv+``.

    It has the settings of the app `like`; without one it reads JSON and has no broker, so that it
    cannot send messages.
    """
    app = Celery("kvbackends", set_as_current=False)
    if like is not None:
        app.conf.update(like.conf.changes)
    app.conf.update(result_backend=f"kv+{url.removeprefix('kv+')}", result_extended=True)
    return app


def celerys_backend(url: str, like: Any) -> Any:
    """Celery's own backend for `url`, with the settings of the app `like`."""
    app = Celery("kvbackends", set_as_current=False)
    app.conf.update(like.conf.changes)
    app.conf.update(result_backend=url)
    found, address = backends.by_url(url, app.loader)
    return found(app=app, url=address)
