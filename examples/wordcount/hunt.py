"""The accident in the middle of the job: a process that runs a task is killed."""

import os
import signal
import time

from examples.wordcount import broker
from examples.wordcount.progress import Busy, Progress
from examples.wordcount.workers import Worker, Workers

KILL_AFTER = 0.25
"""The share of the job after which a process is killed."""


class Hunt:
    """Kills one pool process; if the broker redelivers, a whole worker, which is replaced."""

    def __init__(self, workers: Workers, broker_url: str) -> None:
        self._workers = workers
        self._whole = broker.redelivers(broker_url)
        self._pause = broker.redelivery_pause(broker_url)
        self._replace_at: float | None = None
        self.killed = 0

    def is_on(self, progress: Progress) -> bool:
        """Return whether a process should be killed now."""
        return not self.killed and progress.done >= KILL_AFTER * progress.total

    def kill_one_of(self, suspects: list[Busy], progress: Progress) -> Busy | None:
        """Kill the first suspect that still runs its task; return it, or None if there is none."""
        victim = next((each for each in suspects if self._kill(each, progress)), None)
        self.killed += victim is not None
        if victim and self._whole:
            self._replace_at = time.monotonic() + self._pause
        return victim

    def replace(self) -> None:
        """Replace the killed worker once the broker redelivers its messages."""
        if self._replace_at is not None and time.monotonic() >= self._replace_at:
            self._replace_at = None
            self._workers.start()

    def _kill(self, busy: Busy, progress: Progress) -> bool:
        """Stop the process, and kill it if the store shows that its task still runs.

        Returns whether it was killed; otherwise the process continues.
        """
        worker = next((each for each in self._workers if each.owns(busy.pid)), None)
        if worker is None:
            return False
        self._send(worker, busy.pid, signal.SIGSTOP)
        is_caught = progress.is_still(busy)
        self._send(worker, busy.pid, signal.SIGKILL if is_caught else signal.SIGCONT)
        return is_caught

    def _send(self, worker: Worker, pid: int, number: int) -> None:
        if self._whole:
            worker.signal_all(number)
        else:
            os.kill(pid, number)
