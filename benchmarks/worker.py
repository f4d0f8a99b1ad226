"""The Celery app of the benchmarks' workers, whose URLs are in the environment."""

import json
import os
import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import before_task_publish

from benchmarks.backends import settings_of
from benchmarks.broker import URL

BACKEND = "BENCHMARKS_BACKEND"
BROKER = "BENCHMARKS_BROKER"
SETTINGS = "BENCHMARKS_SETTINGS"


def make_app(backend: str, broker: str, **settings: Any) -> Celery:
    """Return an app on a broker's URL, or with the filesystem broker in a folder."""
    is_url = "://" in broker
    made = Celery("benchmarks.worker", backend=backend, broker=broker if is_url else URL)
    made.conf.update(
        broker_transport_options={} if is_url else _in_files(Path(broker)),
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        **settings_of(backend),
        **settings,
    )
    made.task(part, name="benchmarks.part", shared=False)
    made.task(body, name="benchmarks.body", bind=True, shared=False)
    made.task(nothing, name="benchmarks.nothing", shared=False)
    made.task(tell, name="benchmarks.tell", shared=False)
    return made


def _in_files(folder: Path) -> dict[str, str]:
    messages = folder / "messages"
    messages.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(folder / "control"),
    }


def part() -> float:
    """A header task; returns the time of its end."""
    return time.monotonic()


def body(self: Any, ended: list[float]) -> dict[str, float]:
    """Return the times of the last part's end, of this task's publish, and of its start."""
    return {"ended": max(ended), "published": self.request.published, "began": time.monotonic()}


def nothing() -> None:
    """Do nothing: only the worker and the backend take time."""


def tell(url: str, key: str) -> None:
    """Push the time to a list in Redis."""
    import redis

    with redis.Redis.from_url(url) as client:
        client.rpush(key, time.monotonic())


@before_task_publish.connect
def note_publish(headers: dict[str, Any], **_: Any) -> None:
    """Add the time of its publish to each message."""
    headers["published"] = time.monotonic()


if BACKEND in os.environ:
    app = make_app(os.environ[BACKEND], os.environ[BROKER], **json.loads(os.environ[SETTINGS]))
