"""Celery's undocumented names, and the differences between its versions.

Each has a test that fails when the name is gone (`tests/backend/test_compat.py`).
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from celery._state import get_current_task
from celery.app.backends import by_url
from celery.app.task import Context
from celery.app.utils import HIDDEN_SETTINGS, Settings
from celery.backends import base
from celery.canvas import _chord, group, maybe_signature
from celery.signals import celeryd_init
from celery.utils import functional
from celery.utils.time import maybe_iso8601, maybe_make_aware
from vine import promise

CeleryBackend = base.BaseKeyValueStoreBackend
NoCache = base._nulldict
LazyTasks = functional._regen
"""A header that was given as a generator, which reading exhausts."""
MASKED = HIDDEN_SETTINGS
"""Matches the names of settings whose values `celery report` does not show."""
COMPRESSED: bytes | None = getattr(base, "COMPRESSED_PAYLOAD_MAGIC", None)
"""How a compressed record begins; its content type and a NUL follow.  None before Celery 5.7."""
FAILS_AFTER_CHORD = hasattr(CeleryBackend, "_fail_chain")
"""True if Celery itself fails the tasks that are chained after a failed chord (5.7)."""


def may_be_eager(conf: Any) -> Callable[[], bool]:
    """A test whether ``task_always_eager`` may be set; Celery's costs as much as two decodes."""
    if not isinstance(conf, Settings) or conf.key_t is not None:
        return lambda: True
    maps, names = conf.maps, conf._to_keys("task_always_eager")

    def is_set() -> bool:
        for values in maps:
            for name in names:
                if values.get(name):
                    return True
        return False

    return is_set


def does_nothing(on_interval: Any) -> bool:
    """True for the empty promise that `AsyncResult.get` passes where nothing is to be called.

    Calling it twice a second wakes each waiting thread.
    """
    is_empty = type(on_interval) is promise and on_interval.fun is None
    return is_empty and not any(on_interval.listeners)


def compress_payload(payload: bytes | str, method: str) -> bytes:
    """The payload compressed as Celery 5.7 does it; earlier versions never call this."""
    compressed: bytes = base.compress_payload(payload, method)
    return compressed


def backend_class(app: Any, url: str) -> tuple[Any, str | None]:
    """The class of Celery's backend with this URL or name, and the URL that it is given."""
    found: tuple[Any, str | None] = by_url(url, loader=app.loader)
    return found


def current_task() -> Any:
    """The task that this thread is running, or None in clients and a worker's main process."""
    return get_current_task()


def current_request() -> Any:
    """The request of the running task, or None."""
    task = get_current_task()
    return task and task.request


def as_datetime(app: Any, eta: datetime | str) -> datetime:
    """An ``eta`` of a signature, which a message may have made text, with its time zone."""
    aware: datetime = maybe_make_aware(maybe_iso8601(eta), app.timezone)
    return aware


def header_being_sent() -> tuple[list[Any], Mapping[str, Any]]:
    """The tasks of the chord that the caller applies, and the delay that is given to all of them.

    Empty where there is no such caller, and for a lazy header, which reading would exhaust.
    """
    given = _variables_of_chord()
    if not given:
        return [], {}
    tasks = given["header"].tasks
    delay = {**given["options"], **(given.get("header_delay") or {})}
    return [] if isinstance(tasks, LazyTasks) else list(tasks), delay


def flatten_lazy_header() -> None:
    """Let the lazy header of the caller's chord yield the tasks of its groups one by one.

    Celery numbers the tasks of each group from 0, so their order would be lost.
    """
    given = _variables_of_chord()
    if given and isinstance(given["header"].tasks, LazyTasks):
        given["header"].tasks = LazyTasks(_flat(given["header"].tasks, given["app"]))


def _flat(tasks: Iterable[Any], app: Any) -> Iterator[Any]:
    for each in tasks:
        task = maybe_signature(each, app=app)
        if isinstance(task, group):
            yield from _flat(task.tasks, app)
        else:
            yield task


def _variables_of_chord() -> Mapping[str, Any]:
    """The variables of `chord.run` if it is among the callers: `apply_chord` has results only."""
    frame, near = sys._getframe(1), 10
    while frame.f_code is not _chord.run.__code__:
        if frame.f_back is None or not near:
            return {}
        frame, near = frame.f_back, near - 1
    return frame.f_locals


def when_working(app: Any, then: Any) -> None:
    """Call `then` when this process becomes a worker; at once if it is one.

    `then` is a method, which takes any keywords; its object is not kept alive.
    """
    connect(celeryd_init, then)
    if app.use_fast_trace_task:
        then()


def connect(signal: Any, method: Any) -> None:
    """Let a signal of Celery's call `method`, whose object is not kept alive."""
    # Celery 5.6 takes the methods of two objects for one receiver unless they have an id.
    signal.connect(method, dispatch_uid=f"kvbackends-{id(method.__self__)}")


def is_prefork(pool: Any) -> bool:
    """True if tasks run in processes of their own; `pool` is a worker's."""
    return type(pool).__module__ == "celery.concurrency.prefork"


def bare_name(app: Any) -> str:
    """The app's result backend where it is no URL, as ``kv+mongodb``; as a URL without ``kv+``."""
    named = str(app.backend_cls or app.conf.result_backend or "")
    return f"{named.removeprefix('kv+')}://" if named.startswith("kv+") else named


def publish(app: Any, send: Callable[..., Any], *args: Any) -> None:
    """Send a message from a callback; Celery 5.7 waits between the retries of such messages."""
    retry_publish = getattr(app.amqp, "_retry_publish", None)
    if retry_publish is None:
        send(*args)
    else:
        retry_publish(send, *args)


def request_of_signature(signature: Mapping[str, Any]) -> Any:
    """A request for a task that will never run, from its signature."""
    context = Context(dict(signature))
    options = signature.get("options") or {}
    context.update(options)
    context.id = options.get("task_id")
    context.group = options.get("group_id")
    return context
