"""The job, from the first message to the check of its answer."""

import time
from collections import Counter
from typing import Any, NamedTuple

from celery import chord

from examples.wordcount import broker, text
from examples.wordcount.app import app, count, merge
from examples.wordcount.hunt import Hunt
from examples.wordcount.progress import Progress
from examples.wordcount.terminal import Line, table
from examples.wordcount.workers import Workers
from kvbackends.contract import Feature

WORKERS = 2
PATIENCE = 60.0
"""Seconds without any progress after which the job has failed."""
SHOWN = 15


class JobFailed(Exception):
    """The job did not produce the right result."""


class Report(NamedTuple):
    """The figures of the last line."""

    files: int
    parts: int
    words: int
    workers_killed: int
    chord: str
    """The id of the header's group, by which operators find the chord."""


def run(workers: Workers, limit: int | None) -> Report:
    """Count, kill a process, wait, and check; return the figures.

    Raises `JobFailed`, or Celery's `TimeoutError`.
    """
    if Feature.SHARED not in app.backend.store.features:
        raise JobFailed(
            "the processes of this job cannot share this store; choose one that is SHARED"
        )
    files = text.library_files(limit)
    declare_queue()
    for _ in range(WORKERS):
        workers.start()
    introduce(files)
    answer = chord([count.s(path) for path in files])(merge.s())
    parts = [part.id for part in answer.parent.results]
    progress = Progress(app.backend, dict(zip(parts, map(text.short_name, files), strict=True)))
    killed = watch(progress, workers)
    found = answer.get(timeout=PATIENCE)
    print("checking   the same files again, in this process")
    check(found, text.summary(text.identifiers(path) for path in files))
    print(table(found["most_used"][:SHOWN]))
    return Report(len(files), progress.done, found["words"], killed, answer.parent.id)


def declare_queue() -> None:
    """Create the queue, before the workers start."""
    with app.connection_for_write() as connection:
        app.amqp.queues[app.conf.task_default_queue](connection.default_channel).declare()


def delete_queue() -> None:
    """Delete the queue from the broker's server; files are deleted with their folder."""
    if broker.redelivers(app.conf.broker_url):
        with app.connection_for_write() as connection:
            queue = app.amqp.queues[app.conf.task_default_queue](connection.default_channel)
            queue.declare()  # so that kombu knows what to unbind
            queue.delete()
            queue.exchange.delete()


def introduce(files: list[str]) -> None:
    """Print the store, the broker, the workers and the job."""
    print(f"store      {app.backend.as_uri()}")
    print(f"broker     {broker.shown(app.connection_for_write())}")
    print(f"workers    {WORKERS} processes, each with a pool of its own")
    print(f"job        a chord of {len(files)} files and one body that merges their counts")


def watch(progress: Progress, workers: Workers) -> int:
    """Show the progress until every part is ready; return the number of killed processes."""
    hunt, line = Hunt(workers, app.conf.broker_url), Line(progress.total)
    done, since = progress.done, time.monotonic()
    while progress.done < progress.total:
        if progress.done > done:
            done, since = progress.done, time.monotonic()
        if time.monotonic() > since + PATIENCE:
            missing = progress.total - progress.done
            raise JobFailed(f"no part came for {PATIENCE:.0f} seconds, and {missing} are missing")
        busy = progress.look()
        line.show(progress.done)
        is_on = hunt.is_on(progress)
        if is_on and (victim := hunt.kill_one_of(busy, progress)):
            line.say(f"killed     process {victim.pid} while it was counting {victim.task}")
        hunt.replace()
        time.sleep(0.01 if is_on else 0.1)
    line.end(progress.done)
    if progress.failed:
        raise JobFailed(f"{progress.failed} parts failed")
    if not hunt.killed:
        raise JobFailed(
            "the job ended before a running task was found whose process could be killed"
        )
    return hunt.killed


def check(found: dict[str, Any], plain: dict[str, Any]) -> None:
    """Raise `JobFailed` if the result differs from that of the plain computation."""
    if found != plain:
        wrong = Counter(dict(found["most_used"]))
        wrong.subtract(dict(plain["most_used"]))
        names = [name for name, difference in wrong.items() if difference]
        raise JobFailed(
            f"{found['words']} words in place of {plain['words']}; counts differ for {names[:5]}"
        )
