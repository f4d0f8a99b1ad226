"""The job, from the first message to the check of its answer."""

import os
import signal
import time
from collections import Counter
from typing import Any, NamedTuple

from celery import chord

from examples.wordcount import broker, text
from examples.wordcount.app import app, count, merge
from examples.wordcount.progress import Busy, Progress
from examples.wordcount.terminal import Line, table
from examples.wordcount.workers import Worker, Workers
from kvbackends import Feature

WORKERS = 2
TIMEOUT = 120.0
"""Seconds for all of it."""
KILL_AFTER = 0.25
"""The part of the job after which a process is killed."""
SHOWN = 15


class Failed(Exception):
    """The job did not do what it promises."""


class Report(NamedTuple):
    """What the last line says."""

    files: int
    parts: int
    words: int
    workers_killed: int


def run(workers: Workers, limit: int | None) -> Report:
    """Count, kill, wait, check.  `Failed` or Celery's `TimeoutError` if it does not work."""
    deadline = time.monotonic() + TIMEOUT
    if Feature.SHARED not in app.backend.store.features:
        raise Failed("the processes of this job cannot share such a store")
    files = text.library_files(limit)
    declare_queue()
    for _ in range(WORKERS):
        workers.start()
    introduce(files)
    answer = chord([count.s(path) for path in files])(merge.s())
    parts = [part.id for part in answer.parent.results]
    progress = Progress(app.backend, dict(zip(parts, map(text.short_name, files), strict=True)))
    killed = watch(progress, workers, deadline)
    found = answer.get(timeout=max(deadline - time.monotonic(), 0))
    print("checking   the same files once more, in this process alone")
    check(found, text.summary(text.identifiers(path) for path in files))
    print(table(found["most_used"][:SHOWN]))
    return Report(len(files), progress.done, found["words"], killed)


def declare_queue() -> None:
    """Before the workers start, so that they find it."""
    with app.connection_for_write() as connection:
        app.amqp.queues[app.conf.task_default_queue](connection.default_channel).declare()


def delete_queue() -> None:
    """A server keeps nothing of the job; files go with their folder."""
    if broker.redelivers(app.conf.broker_url):
        with app.connection_for_write() as connection:
            queue = app.amqp.queues[app.conf.task_default_queue](connection.default_channel)
            queue.delete()
            queue.exchange.delete()


def introduce(files: list[str]) -> None:
    """Say what is going to happen."""
    print(f"store      {app.backend.as_uri()}")
    print(f"broker     {broker.shown(app.connection_for_write())}")
    print(f"workers    {WORKERS} processes, each with a pool of its own")
    print(f"job        a chord of {len(files)} files and one body that merges their counts")


def watch(progress: Progress, workers: Workers, deadline: float) -> int:
    """Show the progress until every part is ready; in the middle kill somebody who is busy."""
    killed, line = 0, Line(progress.total)
    while progress.done < progress.total:
        if time.monotonic() > deadline:
            raise Failed(f"{progress.total - progress.done} parts are missing at the time limit")
        busy = progress.look()
        line.show(progress.done)
        hunting = not killed and progress.done >= KILL_AFTER * progress.total
        if hunting and (victim := next((b for b in busy if kill(b, progress, workers)), None)):
            line.say(f"killed     process {victim.pid} while it was counting {victim.task}")
            killed = 1
        time.sleep(0.01 if hunting else 0.1)
    line.end(progress.done)
    if progress.failed:
        raise Failed(f"{progress.failed} parts failed")
    if not killed:
        raise Failed("the job was over before a busy process was found")
    return killed


def kill(busy: Busy, progress: Progress, workers: Workers) -> bool:
    """Kill the process if it is executing its task; the whole worker where the broker redelivers.

    It is stopped first: if the store still says then that the task has begun, it is certain to be
    in the middle.
    """
    worker = next((each for each in workers if each.owns(busy.pid)), None)
    if worker is None:
        return False
    whole = broker.redelivers(app.conf.broker_url)
    send(worker, busy.pid, signal.SIGSTOP, whole=whole)
    is_caught = progress.is_still(busy)
    send(worker, busy.pid, signal.SIGKILL if is_caught else signal.SIGCONT, whole=whole)
    if is_caught and whole:
        workers.start()
    return is_caught


def send(worker: Worker, pid: int, number: int, *, whole: bool) -> None:
    """Signal one pool process, or a worker with all of its processes."""
    if whole:
        worker.signal_all(number)
    else:
        os.kill(pid, number)


def check(found: dict[str, Any], plain: dict[str, Any]) -> None:
    """Compare with the plain computation."""
    if found != plain:
        wrong = Counter(dict(found["most_used"]))
        wrong.subtract(dict(plain["most_used"]))
        names = [name for name, difference in wrong.items() if difference]
        raise Failed(
            f"{found['words']} words in place of {plain['words']}; counts differ for {names[:5]}"
        )
