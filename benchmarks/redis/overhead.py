"""What a backend costs a worker: idle tasks, beside a worker whose backend is disabled."""

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
"""The database of the messages; they are on the same server, for all three."""
DISABLED = "disabled"
TOLD = "benchmarks-told"


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
            # Medians first: the difference of two runs of a round is mostly noise.
            medians = {name: Spread.of(each).median for name, each in costs.items()}
            none = medians[DISABLED]
            share = Spread.of([(medians[OURS] - none) / (medians[THEIRS] - none)])
            told = ", ".join(f"{seconds(each)} {name}" for name, each in medians.items())
            gate, hope = AIMS[what].at(place)
            detail = f"a task: {told}"
            yield Row(f"{what}, {place}", OURS, THEIRS, "x", share, gate, detail, hope)


class _Tasks:
    """Sends tasks to a worker that is held meanwhile, and lets it go."""

    def __init__(self, bench: Bench, name: str, url: str, process: int) -> None:
        self._bench, self._process, self._queue = bench, process, name
        self._count = bench.plan.operations // 2
        self._broker = bench.url(BROKER)
        self._app = make_app(url, self._broker)

    def __call__(self) -> float:
        """Seconds for a task, from the first one's until the last one's."""
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
        """Until the worker works."""
        self._tell()
        self._told()
        pin(0, self._process)

    def _tell(self) -> None:
        self._send("tell", self._broker, TOLD)

    def _told(self) -> float:
        found = self._bench.client(BROKER).blpop([TOLD], READY)
        if found is None:
            raise TimeoutError("the worker has not done its tasks")
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
