"""A backend without an application, for operators who have a URL only."""

from typing import Any

from celery import Celery


def app_of(url: str) -> Any:
    """An app whose result backend is the store at `url`, with or without ``kv+``.

    It reads JSON and has no broker: what sends messages needs the application itself.
    """
    app = Celery("kvbackends", set_as_current=False, broker=None)
    app.conf.update(
        result_backend=f"kv+{url.removeprefix('kv+')}",
        result_extended=True,
        broker_connection_retry_on_startup=True,
    )
    return app
