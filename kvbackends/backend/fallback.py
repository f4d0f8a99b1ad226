"""Reads results and groups in one of Celery's own backends where the store has none (`fallback`).

Nothing is written there.  One thread of the process reads: Celery's classes keep no time limit, and
some have a client that only one thread may use.
"""

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from celery import states

from kvbackends.backend.celerys import Celerys
from kvbackends.backend.compat import CeleryBackend
from kvbackends.contract.deadline import seconds_left, within
from kvbackends.contract.process import PerProcess
from kvbackends.contract.signals import uninterrupted
from kvbackends.errors import StoreUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")
Meta = dict[str, Any]

LONGEST = 5.0
"""Seconds for one read, so that an old server which is away does not stop what is new."""
SHORTEST = 0.3
"""Seconds for a read at the end of a wait, and for that of a wait with a timeout of 0."""
INTERVAL = 1.0
"""Seconds between two reads of one wait."""
REST = 9
"""How many times as long as a read took a wait pauses after it: a slow server is asked rarely."""
LINGER = 1.0
"""Seconds after which the idle thread ends."""
WARNED_EVERY = 60.0


class Fallback:
    """The results in an old place.

    Args:
        app: Its results and groups are those of this app.
        place: The old place.
    """

    def __init__(self, app: Any, place: Celerys) -> None:
        self._app = app
        self._place = place
        self._reader = PerProcess(lambda: _Reader(place.open))
        self._silent_until = 0.0

    def record(self, task_id: str) -> Meta | None:
        """The task's record, or None if there is none.  Raises `StoreUnavailable`."""
        meta = self._ask(lambda old: old.get_task_meta(task_id, cache=False))
        return None if meta["status"] == states.PENDING else meta

    def final(self, task_ids: Collection[str]) -> dict[str, Meta]:
        """The final records of those tasks that have one; in one request if the old store can.

        Raises `StoreUnavailable`.
        """
        return self._ask(lambda old: _final(old, list(task_ids))) if task_ids else {}

    def group(self, group_id: str) -> Meta | None:
        """The record of a saved group, or None.  Raises `StoreUnavailable`."""
        meta = self._ask(lambda old: _group(old, group_id))
        if meta and isinstance(meta["result"], list):  # MongoDB's
            return {**meta, "result": self._app.GroupResult(group_id, meta["result"])}
        return meta

    def _ask(self, call: Callable[[Any], T]) -> T:
        seconds = seconds_left(LONGEST)
        asked = self._reader().ask(call)
        try:
            return asked.result(seconds)
        except TimeoutError as error:
            asked.cancel()
            why: BaseException = error
            text = f"it did not answer for {seconds:.1f} s"
        except Exception as error:  # noqa: BLE001 - of any driver
            why, text = error, self._place.redacted(f"{type(error).__name__}: {error}")
        raise StoreUnavailable(
            f"{self._place}, which the option `fallback` names, could not be read: {text}. Remove "
            "the option when its results are no longer needed"
        ) from why

    def warn(self, error: StoreUnavailable) -> None:
        """Log that a wait goes on without the old place; once a minute."""
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + WARNED_EVERY
            logger.warning("%s", error)


class OldRecords(list[tuple[str, bytes]]):
    """Keys with no bytes, in place of what was read in the store; `metas` are their records."""

    metas: Sequence[Meta] = ()


class Finals:
    """The reads of one wait: not more often than once each `INTERVAL`."""

    def __init__(self, fallback: Fallback) -> None:
        self._fallback = fallback
        self.due = 0.0
        """When to read next, in seconds of `time.monotonic`."""

    def read(self, keys: Mapping[str, str], deadline: float | None = None) -> OldRecords:
        """The final records of the tasks whose ids are the values of `keys`.

        Empty before `due`, and if reading fails.  Ends soon after `deadline`.
        """
        found, began = OldRecords(), time.monotonic()
        if not keys or began < self.due:
            return found
        left = math.inf if deadline is None else max(deadline - began, SHORTEST)
        try:
            metas = within(left, self._fallback.final, keys.values())
        except StoreUnavailable as error:
            self._fallback.warn(error)
        else:
            found.extend((key, b"") for key, task_id in keys.items() if task_id in metas)
            found.metas = [metas[keys[key]] for key, _ in found]
        ended = time.monotonic()
        self.due = ended + max(INTERVAL, REST * (ended - began))
        return found


def _final(old: Any, task_ids: list[str]) -> dict[str, Meta]:
    if isinstance(old, CeleryBackend):
        return dict(old.get_many(task_ids, interval=0, max_iterations=1))
    metas = ((each, old.get_task_meta(each, cache=False)) for each in task_ids)
    return {each: meta for each, meta in metas if meta["status"] in states.READY_STATES}


def _group(old: Any, group_id: str) -> Meta | None:
    if not hasattr(old, "_restore_group"):  # Cassandra's, which saves no groups
        return None
    meta: Meta | None = old.get_group_meta(group_id, cache=False)
    return meta


class _Reader:
    """A thread that calls with one of Celery's backends, one call at a time; it ends when idle."""

    def __init__(self, open_old: Callable[[], Any]) -> None:
        self._open = open_old
        self._old: Any = None
        self._asked: queue.SimpleQueue[tuple[Callable[[Any], Any], Future[Any]]]
        self._asked = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._runs = False

    @uninterrupted  # else a handler that asks meanwhile starts a second thread
    def ask(self, call: Callable[[Any], T]) -> "Future[T]":
        future: Future[T] = Future()
        with self._lock:
            self._asked.put((call, future))
            if not self._runs:
                self._thread = threading.Thread(
                    target=self._run, name="kvbackends-fallback", daemon=True
                )
                self._thread.start()
                self._runs = True
        return future

    def _run(self) -> None:
        while True:
            try:
                call, future = self._asked.get(timeout=LINGER)
            except queue.Empty:
                with self._lock:
                    if self._asked.empty():
                        self._runs = False
                        return
                continue
            if future.set_running_or_notify_cancel():
                self._answer(call, future)

    def _answer(self, call: Callable[[Any], T], future: "Future[T]") -> None:
        try:
            if self._old is None:
                self._old = self._open()
            future.set_result(call(self._old))
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            future.set_exception(error)
