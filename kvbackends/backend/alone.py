"""Backends without an application's own, for operators who have URLs."""

from typing import Any

from celery import Celery
from celery.app import backends

_OF_ITS_FLEET = ("chords", "fallback")
"""Options that say how the app's own fleet changes over."""


def app_of(url: str, like: Any = None) -> Any:
    """An app whose result backend is the store at `url`, with or without ``kv+``.

    It has the settings of the app `like`; without one it reads JSON and has no broker, so that it
    cannot send messages.
    """
    app = Celery("kvbackends", set_as_current=False)
    if like is not None:
        app.conf.update(like.conf.changes)
        transport = like.conf.result_backend_transport_options or {}
        kept = {name: value for name, value in transport.items() if name not in _OF_ITS_FLEET}
        app.conf.update(result_backend_transport_options=kept)
    app.conf.update(result_backend=f"kv+{url.removeprefix('kv+')}", result_extended=True)
    return app


def celerys_backend(url: str, like: Any) -> Any:
    """Celery's own backend for `url`, with the settings of the app `like`."""
    app = Celery("kvbackends", set_as_current=False)
    app.conf.update(like.conf.changes)
    app.conf.update(result_backend=url)
    found, address = backends.by_url(url, app.loader)
    return found(app=app, url=address)
