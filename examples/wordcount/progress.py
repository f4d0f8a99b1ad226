"""The progress of the job, read from the store in batches."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from celery import states


class Busy(NamedTuple):
    """A running task."""

    task_id: str
    task: str
    """Its name."""
    pid: int
    """Its pool process."""


class Progress:
    """Reads the results that were not ready at the last read."""

    def __init__(self, backend: Any, names: Mapping[str, str]) -> None:
        self._backend = backend
        self._names = names
        self._pending = list(names)
        self.total = len(self._pending)
        self.failed = 0

    @property
    def done(self) -> int:
        """The number of results that are ready."""
        return self.total - len(self._pending)

    def look(self) -> list[Busy]:
        """Read the store, and return the running tasks."""
        busy, pending = [], []
        for task_id, record in self._records(self._pending):
            state = record["status"]
            if state not in states.READY_STATES:
                pending.append(task_id)
            if state == states.STARTED:
                busy.append(Busy(task_id, self._names[task_id], record["result"]["pid"]))
            self.failed += state in states.EXCEPTION_STATES and state in states.READY_STATES
        self._pending = pending
        return busy

    def is_still(self, busy: Busy) -> bool:
        """Return whether the same process still runs the task."""
        ((_, record),) = self._records([busy.task_id])
        return bool(record["status"] == states.STARTED and record["result"]["pid"] == busy.pid)

    def _records(self, task_ids: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the id and record of each task; `mget` reads as many at once as the store can."""
        backend = self._backend
        payloads = backend.mget([backend.get_key_for_task(each) for each in task_ids])
        for task_id, payload in zip(task_ids, payloads, strict=True):
            nothing = {"status": states.PENDING, "result": None}
            yield task_id, nothing if payload is None else backend.decode_result(payload)
