"""The whole backend, with a real Celery worker."""

import os
import signal
import time
from pathlib import Path

import pytest
from celery import chord, group

from kvbackends.contract import Feature
from kvbackends.testing.check import Area, requires, thorough
from kvbackends.testing.workers import PATIENCE, Job


class WholeBackend(Area):
    """The backend on this store, used by a Celery worker with two pool processes."""

    area = "backend"
    rule = "in-celery"
    alone = True

    @requires(Feature.SHARED)
    def result(self, job: Job) -> None:
        """A caller that waits for a task's result receives it in bounded time."""
        assert job.result(job.task("add").delay(1, 2)) == 3

    @requires(Feature.SHARED)
    @thorough
    def failure(self, job: Job) -> None:
        """A failing task's error is raised where its result is waited for."""
        pending = job.task("fail").delay("what went wrong")
        with pytest.raises(Exception, match="what went wrong") as caught:
            job.result(pending)
        assert type(caught.value).__name__ == "Boom"
        assert pending.state == "FAILURE"
        assert "raise Boom" in pending.traceback

    @requires(Feature.SHARED)
    @thorough
    def group_join(self, job: Job) -> None:
        """The results of a group come in the order of its tasks."""
        add = job.task("add")
        assert job.result(group(add.s(n, 1) for n in range(20)).delay()) == list(range(1, 21))

    @requires(Feature.SHARED)
    @thorough
    def nested_chord(self, job: Job) -> None:
        """A chord whose header holds another chord ends with the sum of both."""
        add, total = job.task("add"), job.task("total")
        inner = chord([add.s(n, 0) for n in range(4)], total.s())
        assert job.result(chord([add.s(1, 2), inner, add.s(3, 4)], total.s()).delay()) == 16

    @requires(Feature.SHARED)
    @thorough
    def killed_pool_process(self, job: Job) -> None:
        """A chord completes once though a process is killed in the middle of a part."""
        add, total = job.task("add"), job.task("total")
        mark = job.folder / "pid"
        doomed = job.task("die_once").s(str(mark), 30)
        pending = chord([add.s(1, 2), doomed, add.s(3, 4)], total.s()).delay()
        os.kill(_busy(mark, job), signal.SIGKILL)
        assert job.result(pending) == 40


def _busy(mark: Path, job: Job) -> int:
    """The id of the pool process that runs the task."""
    until = time.monotonic() + PATIENCE
    while not mark.exists():
        assert time.monotonic() < until, f"the task never began\n{job.log()}"
        time.sleep(0.01)
    return int(mark.read_text())
