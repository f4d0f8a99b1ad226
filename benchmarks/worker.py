"""The Celery app of the workers that the runner starts; told by the environment where."""

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


def make_app(backend: str, broker: Path) -> Celery:
    """An app on the filesystem broker."""
    messages = broker / "messages"
    messages.mkdir(parents=True, exist_ok=True)
    made = Celery("benchmarks.worker", backend=backend, broker=URL)
    made.conf.update(
        broker_transport_options={
            "data_folder_in": str(messages),
            "data_folder_out": str(messages),
            "control_folder": str(broker / "control"),
        },
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        **settings_of(backend),
    )
    made.task(part, name="benchmarks.part", shared=False)
    made.task(body, name="benchmarks.body", bind=True, shared=False)
    return made


def part() -> float:
    """A header task; returns when it ended."""
    return time.monotonic()


def body(self: Any, ended: list[float]) -> dict[str, float]:
    """When the last part ended, when this was published, and when it began."""
    return {"ended": max(ended), "published": self.request.published, "began": time.monotonic()}


@before_task_publish.connect
def note_publish(headers: dict[str, Any], **_: Any) -> None:
    """Each message carries when it was sent."""
    headers["published"] = time.monotonic()


if BACKEND in os.environ:
    app = make_app(os.environ[BACKEND], Path(os.environ[BROKER]))
