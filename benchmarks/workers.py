"""Chords end to end: a client, the filesystem broker and a real worker."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from celery import Celery, chord

from benchmarks.backends import DATABASE, NORMAL, urls
from benchmarks.measure import Spread, interleaved
from benchmarks.plan import Plan
from benchmarks.rows import Row, at_least, at_most
from benchmarks.worker import BACKEND, BROKER, SETTINGS, make_app

PARTS = 10
READY = 30.0
"""Seconds within which a worker must start."""


def completion(plan: Plan) -> Iterator[Row]:
    """The time from the end of the last header task until the body is published, and runs."""
    folder = plan.folder / "workers"
    with contextlib.ExitStack() as stack:
        clients = {
            name: stack.enter_context(running_worker(url, folder / name))
            for name, url in urls(folder).items()
            if name in (NORMAL, DATABASE)
        }
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in clients}
        runs = {name: _chord(app, seen[name]) for name, app in clients.items()}
        interleaved(runs, plan.chords_end_to_end)
    for event, verb in (("published", "published"), ("began", "running")):
        spreads = {
            name: Spread.of((each[event] - each["ended"]) * 1000 for each in found[2:])
            for name, found in seen.items()
        }
        what = f"chord of {PARTS}, end to end, until the body is {verb}"
        yield Row(what, NORMAL, "", "ms", spreads[NORMAL], at_most(20))
        yield Row(what, DATABASE, "", "ms", spreads[DATABASE])
        times = spreads[DATABASE].median / spreads[NORMAL].median
        yield Row(what, NORMAL, DATABASE, "x", Spread.of([times]), at_least(40))


def _chord(app: Celery, seen: list[dict[str, float]]) -> Callable[[], float]:
    header = [app.tasks["benchmarks.part"].si() for _ in range(PARTS)]
    body = app.tasks["benchmarks.body"].s()

    def run() -> float:
        found = chord(header)(body).get(timeout=60)
        seen.append(found)
        return float(found["began"] - found["ended"])

    return run


@contextlib.contextmanager
def running_worker(url: str, folder: Path) -> Iterator[Celery]:
    """Start a worker, and yield a client of it when it has answered.

    Both have their results at `url` and their messages in `folder`.
    """
    app = make_app(url, str(folder))
    with worker_process(url, str(folder), folder, "-c", "2"):
        app.tasks["benchmarks.part"].delay().get(timeout=READY)
        yield app


@contextlib.contextmanager
def worker_process(
    url: str, broker: str, folder: Path, *arguments: str, **settings: Any
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a worker with results at `url`, messages at `broker`; do not wait until it is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.worker", "worker"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING"]
    with (folder / "worker.out").open("wb") as output:
        process = subprocess.Popen(
            [*command, *arguments, *quiet],
            env={**os.environ, BACKEND: url, BROKER: broker, SETTINGS: json.dumps(settings)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.terminate()
            _ended(process)


def _ended(process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
