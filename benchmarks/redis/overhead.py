"""The overhead of a backend in a worker: empty tasks, beside a worker without a backend."""

import contextlib
import os
import signal
from collections.abc import Iterator

from benchmarks.measure import Spread, interleaved, pin, seconds
from benchmarks.redis.aims import AIMS
from benchmarks.redis.bench import OURS, THEIRS, Bench
from benchmarks.rows import Row
from benchmarks.worker import make_app
from benchmarks.workers import READY, worker_process

BROKER = 4
"""The database of the messages, on the same server for all workers."""
DISABLED = "disabled"
TIMES = "benchmarks-times"


def overhead(bench: Bench) -> Iterator[Row]:
    """The overhead of ours divided by that of Celery's own backend."""
    what = "worker overhead"
    with contextlib.ExitStack() as stack:
        runs = {
            name: stack.enter_context(_running(bench, name, url))
            for name, url in (bench.urls() | {DISABLED: "disabled://"}).items()
        }
        for place in bench.places():
            costs = interleaved(runs, 2 * bench.plan.rounds)
            # From the medians, because the difference of two runs of a round is mostly noise.
            medians = {name: Spread.of(each).median for name, each in costs.items()}
            none = medians[DISABLED]
            share = Spread.of([(medians[OURS] - none) / (medians[THEIRS] - none)])
            spent = ", ".join(f"{seconds(each)} {name}" for name, each in medians.items())
            gate, hope = AIMS[what].at(place)
            detail = f"per task: {spent}"
            yield Row(f"{what}, {place}", OURS, THEIRS, "x", share, gate, detail, hope)


class _Tasks:
    """Sends tasks to a stopped worker, and then lets it run."""

    def __init__(self, bench: Bench, name: str, url: str, process: int) -> None:
        self._bench, self._process, self._queue = bench, process, name
        self._count = bench.plan.operations // 2
        self._broker = bench.url(BROKER)
        self._app = make_app(url, self._broker)

    def __call__(self) -> float:
        """Return the seconds per task, between the first and the last one."""
        os.kill(self._process, signal.SIGSTOP)
        try:
            self._tell()
            for _ in range(self._count - 1):
                self._send("nothing")
            self._tell()
        finally:
            os.kill(self._process, signal.SIGCONT)
        first, last = self._told(), self._told()
        return (last - first) / self._count

    def wait(self) -> None:
        """Wait until the worker is ready."""
        self._tell()
        self._told()
        pin(0, self._process)

    def _tell(self) -> None:
        self._send("tell", self._broker, TIMES)

    def _told(self) -> float:
        found = self._bench.client(BROKER).blpop([TIMES], READY)
        if found is None:
            raise TimeoutError(f"the worker has not run its tasks within {READY:g} s")
        return float(found[1])

    def _send(self, task: str, *args: str) -> None:
        self._app.tasks[f"benchmarks.{task}"].apply_async(args, queue=self._queue)


@contextlib.contextmanager
def _running(bench: Bench, name: str, url: str) -> Iterator[_Tasks]:
    folder = bench.plan.folder / name
    arguments = ["--pool", "solo", "--queues", name, "--hostname", f"{name}@%h"]
    with worker_process(url, bench.url(BROKER), folder, *arguments) as process:
        tasks = _Tasks(bench, name, url, process.pid)
        tasks.wait()
        yield tasks
