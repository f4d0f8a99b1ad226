"""Tasks and chords that a client keeps sending while something goes wrong."""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

from celery import chord
from celery.result import AsyncResult

from tests.e2e.deployment import Deployment

HEADER = 6
PATIENCE = 90.0
"""Seconds until the last result must be there, counted from the end of the trouble."""


class Sender(threading.Thread):
    """Sends and sends, and notes each result with the value that is expected."""

    def __init__(self, send: Callable[[int], tuple[AsyncResult, Any]], pause: float) -> None:
        super().__init__(daemon=True)
        self.sent: list[tuple[AsyncResult, Any]] = []
        self.error: BaseException | None = None
        self.ending = threading.Event()
        self._send = send
        self._pause = pause

    def run(self) -> None:
        try:
            while not self.ending.wait(self._pause):
                self.sent.append(self._send(len(self.sent)))
        except BaseException as error:
            self.error = error

    def more(self) -> bool:
        """Wait for two more: the first may have been begun before this."""
        most = len(self.sent) + 2
        deadline = time.monotonic() + PATIENCE
        while len(self.sent) < most and time.monotonic() < deadline and not self.error:
            time.sleep(0.01)
        return len(self.sent) >= most

    def where(self) -> str:
        """What it does, or why it ended."""
        frame = sys._current_frames().get(self.ident)
        return "".join(traceback.format_stack(frame)) if frame else repr(self.error)


class Load:
    """A context: results are asked for as they come, and all of them at the end.

    Every message is acknowledged late, so that a task whose result could not be stored runs again.
    Tasks are sent by one thread, which needs no store, and chords by another, which does.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.troubles: list[tuple[datetime, datetime, int]] = []
        self._deployment = deployment
        # The driver is imported here, by the main thread: Cassandra's imports eventlet, which makes
        # the thread that imports it first one that nobody can join.
        assert deployment.app.backend.store
        self._tasks = Sender(self._task, 0.15)
        self._chords = Sender(self._chord, 0.8)
        self._senders = [self._tasks, self._chords]

    def _task(self, n: int) -> tuple[AsyncResult, Any]:
        return self._deployment.sig("late", n).delay(), n

    def _chord(self, n: int) -> tuple[AsyncResult, Any]:
        values = range(n, n + HEADER)
        header = [self._deployment.sig("late", each) for each in values]
        return chord(header)(self._deployment.sig("total")), sum(values)

    def __enter__(self) -> Self:
        for sender in self._senders:
            sender.start()
        self.until_it_flows()
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        if failure is None:
            self.until_it_flows()
        for sender in self._senders:
            sender.ending.set()
        for sender in self._senders:
            sender.join(PATIENCE)
        if failure is None:
            self.settles()

    @contextmanager
    def trouble(self, ended: int = 0) -> Iterator[None]:
        """What goes wrong in it meets the load: tasks are sent, and so many end, meanwhile.

        None needs to end while nothing can be stored: each child may be storing what ended before.
        """
        before, began = len(self._tasks.sent), datetime.now(UTC)
        yield
        self.troubles.append((began, datetime.now(UTC), ended))
        assert len(self._tasks.sent) > before, "nothing was sent while it went wrong"

    def goes_on(self) -> None:
        """Wait until tasks are sent that were not begun before this: they need no store."""
        assert self._tasks.more(), self._tasks.where()

    def forget(self) -> None:
        """Expect nothing that was sent till now: the store has lost it."""
        for sender in self._senders:
            most = len(sender.sent) + 1
            assert sender.more(), sender.where()
            sender.sent[:most] = [(None, None)] * most

    def until_it_flows(self) -> None:
        """Wait for results of what is sent from now on."""
        for sender in self._senders:
            assert sender.more(), sender.where()
            result, value = sender.sent[-1]
            assert self._value(result, PATIENCE) == value

    def settles(self) -> None:
        """Every result is there, and right; nothing hangs, nothing is lost."""
        for sender in self._senders:
            assert not sender.is_alive(), f"it still sends:\n{sender.where()}"
            assert sender.error is None, sender.error
        deadline = time.monotonic() + PATIENCE
        for result, value in self._sent():
            assert self._value(result, max(deadline - time.monotonic(), 1)) == value
        self.kept()

    def kept(self) -> None:
        """What was read once is still there, past every cache."""
        metas = {result.id: self._deployment.meta(result.id) for result, _ in self._sent()}
        lost = [each for each, meta in metas.items() if meta["status"] != "SUCCESS"]
        assert not lost, f"{len(lost)} of {len(metas)} are lost: {lost}"
        for began, until, least in self.troubles:
            within = sum(began <= _done(each) <= until for each in metas.values())
            print(f"{len(metas)} results, {within} of tasks that ended in the trouble")
            assert within >= least, "too few tasks ended while it went wrong"

    def ended_once(self) -> None:
        """No body was published a second time."""
        bodies = [result.id for result, _ in self._chords.sent]
        assert [body for body in bodies if self._deployment.published(body) != 1] == []

    def _sent(self) -> list[tuple[AsyncResult, Any]]:
        return [each for sender in self._senders for each in sender.sent if each[0] is not None]

    def _value(self, result: AsyncResult, patience: float) -> Any:
        try:
            return result.get(timeout=patience)
        except Exception as error:
            raise AssertionError(f"{result.id}: {error!r}\n{self._deployment.logs()}") from error


def _done(meta: dict[str, Any]) -> datetime:
    """When the task ended, a moment before its result was stored."""
    done = meta["date_done"]
    done = datetime.fromisoformat(done) if isinstance(done, str) else done
    return done if done.tzinfo else done.replace(tzinfo=UTC)
