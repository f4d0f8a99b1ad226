"""Starts, kills and stops worker processes."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

POOL = 2
"""Pool processes of each worker."""
GRACE = 10.0
"""Seconds after which a worker that does not stop is killed."""


class Worker:
    """One ``celery worker`` with its pool, in a process group of its own."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        command = [sys.executable, "-m", "celery", "--app", "examples.wordcount.app", "worker"]
        command += ["--hostname", f"{name}@demo", "--concurrency", str(POOL), "--loglevel", "INFO"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                # Temporary files of a killed process are deleted with the job's folder.
                env={**os.environ, "TMPDIR": str(log.parent)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def owns(self, pid: int) -> bool:
        """Return whether `pid` is a process of this worker."""
        with contextlib.suppress(ProcessLookupError):
            return os.getpgid(pid) == self.process.pid
        return False

    def signal_all(self, number: int) -> bool:
        """Send a signal to the main process and its children; return False if none exists."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
            return True
        return False

    def stop(self) -> None:
        """Wait for the worker to end, and kill its remaining processes."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
        deadline = time.monotonic() + GRACE
        while self.signal_all(signal.SIGKILL) and time.monotonic() < deadline:
            self.process.poll()
            time.sleep(0.01)


class Workers:
    """All workers of the job."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._running: list[Worker] = []

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._running)

    def start(self) -> Worker:
        """Start another worker."""
        name = f"worker{next(self._numbers)}"
        worker = Worker(name, self._folder / f"{name}.log")
        self._running.append(worker)
        return worker

    def stop(self) -> None:
        """Stop all workers."""
        for worker in self._running:
            worker.process.terminate()
        for worker in self._running:
            worker.stop()

    def log_tails(self, lines: int = 15) -> Iterator[str]:
        """Yield the last lines of every log."""
        for worker in self._running:
            yield f"--- {worker.name}"
            yield from worker.log.read_text(errors="replace").splitlines()[-lines:]
