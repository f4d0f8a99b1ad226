"""Every name of Celery's that is not documented, and what differs between its versions.

Each has a test that fails when the name is gone (`tests/backend/test_compat.py`).
"""

from collections.abc import Callable, Mapping
from json import JSONDecoder
from typing import Any

from celery._state import get_current_task
from celery.app.task import Context
from celery.backends.base import BaseKeyValueStoreBackend as CeleryBackend
from celery.exceptions import (
    BackendGetMetaError,
    BackendStoreError,
    ChordError,
    ImproperlyConfigured,
    Reject,
    SoftTimeLimitExceeded,
)
from celery.exceptions import (
    TimeoutError as ResultTimeout,
)
from celery.utils import functional
from kombu import serialization
from kombu.exceptions import EncodeError
from kombu.utils import json as kombu_json

LazyTasks = functional._regen
"""A header that was given as a generator: looking at it would exhaust it."""

__all__ = [
    "FAILS_AFTER_CHORD",
    "BackendGetMetaError",
    "BackendStoreError",
    "CeleryBackend",
    "ChordError",
    "Context",
    "EncodeError",
    "ImproperlyConfigured",
    "LazyTasks",
    "Reject",
    "ResultTimeout",
    "SoftTimeLimitExceeded",
    "current_request",
    "current_task",
    "from_json",
    "kombu_reads_json",
    "publish",
    "request_of_signature",
]


FAILS_AFTER_CHORD = hasattr(CeleryBackend, "_fail_chain")
"""Celery 5.7 itself fails what is chained after a chord that failed."""


from_json = JSONDecoder(object_hook=kombu_json.object_hook).decode
"""What kombu's decoder does once it has found out that it is asked for JSON in UTF-8."""


def kombu_reads_json() -> bool:
    """True while nobody has registered another decoder for JSON."""
    decoder = serialization.registry._decoders.get("application/json")
    return decoder is not None and decoder is kombu_json.loads


def current_task() -> Any:
    """The task that this thread is running, or None in clients and a worker's main process."""
    return get_current_task()


def current_request() -> Any:
    """The request of the running task, or None."""
    task = get_current_task()
    return task and task.request


def publish(app: Any, send: Callable[..., Any], *args: Any) -> None:
    """Send a message from a callback; Celery 5.7 waits between the retries of such messages."""
    retry_publish = getattr(app.amqp, "_retry_publish", None)
    if retry_publish is None:
        send(*args)
    else:
        retry_publish(send, *args)


def request_of_signature(signature: Mapping[str, Any]) -> Any:
    """A request for a task that never runs, made of its signature."""
    context = Context(dict(signature))
    options = signature.get("options") or {}
    context.update(options)
    context.id = options.get("task_id")
    context.group = options.get("group_id")
    return context
