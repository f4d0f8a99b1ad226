"""Tasks and chords as fast as they can be sent, and who waits for them while they are run."""

import json
import signal
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from celery import chord
from celery.result import AsyncResult, ResultSet

from tests.e2e import diary
from tests.e2e.deployment import Deployment

HEADER = 6
WAITERS = 24
PATIENCE = 150.0
"""Seconds until what was sent must be there, on a busy machine."""


class Sent(NamedTuple):
    """A task, or the body of a chord with its header's ids."""

    result: AsyncResult
    value: Any
    header: tuple[str, ...] = ()


class Flood(AbstractContextManager["Flood"]):
    """A context; the deployment's worker includes `tests.e2e.reports`."""

    def __init__(self, deployment: Deployment) -> None:
        self.sent: list[Sent] = []
        self._deployment = deployment
        self._threads = ThreadPoolExecutor(WAITERS)
        self._waits: list[Future[None]] = []

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def send(self, tasks: int, chords: int) -> None:
        """Send them, chords among the tasks, and begin to wait for each."""
        between = tasks // chords
        for number in range(chords):
            first = [self._task(number * between + each) for each in range(between)]
            results = ResultSet([each.result for each in first], app=self._deployment.app)
            expected = [each.value for each in first]
            self._wait(lambda r=results, v=expected: _equal(r.get(timeout=PATIENCE), v))
            one = self._chord(number)
            self._wait(lambda one=one: _equal(one.result.get(timeout=PATIENCE), one.value))
            self.sent += [*first, one]

    def is_at_work(self, least: int = 20) -> None:
        """Wait until some more results are stored, and see that most are not."""
        stored = lambda: len(self._deployment.said("stored"))  # noqa: E731
        before = stored()
        self._deployment.until(lambda: stored() >= before + least, "results come")
        assert stored() < sum(1 + len(each.header) for each in self.sent) - 50

    def send_before_work(self, tasks: int, chords: int) -> None:
        """Send while the worker stands still, then let it begin: most is still to be done."""
        [worker] = self._deployment.workers
        worker.signal(signal.SIGSTOP)
        self.send(tasks, chords)
        worker.signal(signal.SIGCONT)
        self.is_at_work()

    def settles(self) -> None:
        """No waiter hangs, and each was told what is right."""
        for wait in self._waits:
            try:
                wait.result(PATIENCE)
            except Exception as error:
                raise AssertionError(f"{error!r}\n{self._deployment.logs()}") from error
        self._waits.clear()

    def _wait(self, call: Callable[[], None]) -> None:
        self._waits.append(self._threads.submit(call))

    def _task(self, number: int) -> Sent:
        return Sent(self._deployment.sig("late", number).delay(), number)

    def _chord(self, number: int) -> Sent:
        values = [number, *range(HEADER - 1)]
        result = chord([self._deployment.sig("late", each) for each in values])(
            self._deployment.sig("body")
        )
        return Sent(result, values, tuple(part.id for part in result.parent.results))

    # -------------------------------------------------------------------------- in the end

    def nothing_is_lost(self, read: Callable[[list[str]], list[bytes | None]]) -> None:
        """What was reported as stored is in the server, and everything that was sent is right.

        `read` returns the records of keys, in their order.
        """
        values = {each.result.id: each.value for each in self.sent}
        reported = lambda: {each["id"] for each in self._deployment.said("stored")}  # noqa: E731
        # A client may read a result before the worker is told that it is stored.
        self._deployment.until(lambda: values.keys() <= reported(), "every worker was told")
        ids = sorted(reported())
        records = read([f"celery-task-meta-{each}" for each in ids])
        lost = [each for each, record in zip(ids, records, strict=True) if record is None]
        assert not lost, f"{len(lost)} of {len(ids)} are lost"
        for each, record in zip(ids, map(json.loads, records), strict=True):
            assert record["status"] == "SUCCESS", record
            assert record["result"] == values.get(each, record["result"])

    def nothing_is_early(self) -> None:
        """Each body ran once, after all its parts, with all their values."""
        chords = [each for each in self.sent if each.header]
        lines = diary.read(self._deployment.folder, "part") + diary.read(
            self._deployment.folder, "body"
        )
        assert len(lines) >= len(self.sent)
        places = self._places()
        for body in chords:
            ran = self._deployment.said("body", id=body.result.id)
            assert [each["values"] for each in ran] == [body.value]
            assert self._deployment.published(body.result.id) == 1
            began = places["body", body.result.id]
            assert all(places["part", part] < began for part in body.header)

    def _places(self) -> dict[tuple[str, str], int]:
        """Where in the diary each task's first run is."""
        found: dict[tuple[str, str], int] = {}
        for place, line in enumerate((self._deployment.folder / "diary").read_text().splitlines()):
            each = json.loads(line)
            found.setdefault((each["event"], each.get("id")), place)
        return found


def _equal(value: Any, expected: Any) -> None:
    assert value == expected
