"""The backends that are compared."""

import functools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from celery import Celery

NORMAL = "kv+sqlite NORMAL"
FULL = "kv+sqlite FULL"
DATABASE = "db+sqlite"
FILES = "file"


def urls(folder: Path) -> dict[str, str]:
    """Return a URL for each backend, with its own files in `folder`."""
    (folder / "files").mkdir(parents=True, exist_ok=True)
    return {
        NORMAL: f"kv+sqlite:///{folder}/normal.db",
        FULL: f"kv+sqlite:///{folder}/full.db?synchronous=FULL",
        DATABASE: f"db+sqlite:///{folder}/celery.db",
        FILES: f"file://{folder}/files",
    }


def open_backend(url: str) -> Any:
    """Return the backend for a URL as Celery gives it: its own are another one in each thread."""
    return open_app(url).backend


@functools.cache
def open_app(url: str) -> Celery:
    """Return this process's application with a backend."""
    app = Celery("benchmarks", backend=url, broker="memory://", set_as_current=False)
    app.conf.update(settings_of(url))
    return app


@contextmanager
def in_pool_process(urls: Iterable[str]) -> Iterator[None]:
    """Have the backends as a process of a worker's pool has them.

    In other processes Celery's database backend connects anew for each operation.
    """
    managers = [open_backend(url).session_manager for url in urls if url.startswith("db+")]
    for each in managers:
        each.forked = True
    yield
    for each in managers:
        each.forked = False


def settings_of(url: str) -> dict[str, Any]:
    """Return the settings for Celery's own backend; only Cassandra's needs some."""
    place = urlsplit(url)
    if place.scheme != "cassandra":
        return {}
    return {
        "cassandra_servers": [place.hostname],
        "cassandra_port": place.port,
        "cassandra_keyspace": place.path.strip("/"),
        "cassandra_table": "celery_own",
    }


def new_id() -> str:
    """Return an id in the format of Celery's, but much faster than `uuid4`."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
