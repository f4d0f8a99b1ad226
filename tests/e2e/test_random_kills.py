"""Chords on every store while workers, and children of their pools, are killed at random.

`test_child_kills` and `test_worker_kills` have each point of a chord's way, on the embedded store.
"""

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from celery import chord
from celery.result import AsyncResult

from tests.e2e.deployment import Deployment, Worker

STORES = ["sqlite", "redis", "memcached", "mongodb", "postgresql", "elasticsearch", "cassandra"]
CHORDS = 500
PART, FAILING = range(4), 5
"""Values of a header; each fifth chord has a part that fails."""
STEP, CHILDREN = 1_000, 15
"""Bytes by which the diary grows between two kills, some eight tasks' lines, and how many children
are killed for each worker.
"""
PATIENCE = 600.0
"""Seconds for all chords on a busy machine."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE)]


class Sent(NamedTuple):
    """A chord's body with its header's ids, and the values that it is to be given, if any."""

    body: AsyncResult
    header: list[str]
    values: list[int] | None


@pytest.fixture(params=STORES)
def deployment(deploy, request) -> Deployment:
    """Workers behind RabbitMQ, which delivers what they had not acknowledged to others."""
    if request.param == "sqlite":
        return deploy("rabbitmq")
    return deploy("rabbitmq", url=request.getfixturevalue(f"{request.param}_url"))


@contextmanager
def killed(deployment: Deployment) -> Iterator[list[int]]:
    """Kills children and workers in the block; yields the process ids of those that it killed."""
    workers = [deployment.worker("-c", "2") for _ in range(2)]
    ended, dead = threading.Event(), []

    def kill() -> None:
        seen = 0
        while not ended.wait(0.05):
            number = random.randrange(len(workers))
            if not workers[number].alive():  # one whose children are killed too early ends
                workers[number] = replaced(workers[number])
            if (size := written(deployment)) < seen + STEP:
                continue
            seen = size
            if len(dead) % CHILDREN == CHILDREN - 1:
                dead.append(workers[number].pid)
                workers[number] = replaced(workers[number])
            elif child := random.choice(children(workers[number]) or [0]):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                    dead.append(child)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield dead
    finally:
        ended.set()
        thread.join()


def replaced(worker: Worker) -> Worker:
    """Another worker in place of this one, which is killed."""
    with suppress(ProcessLookupError):
        worker.signal(signal.SIGKILL)
    worker.gone()
    return worker.deployment.starting("-c", "2")


def written(deployment: Deployment) -> int:
    """The size of the diary in bytes."""
    diary = deployment.folder / "diary"
    return diary.stat().st_size if diary.exists() else 0


def children(worker: Worker) -> list[int]:
    """The processes of its pool; none before it has begun."""
    with suppress(OSError):
        listed = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text()
        return [int(each) for each in listed.split()]
    return []


def send(deployment: Deployment, number: int) -> Sent:
    """A chord whose every part is acknowledged late, and so is its body."""
    values = [number, *PART]
    header = [deployment.sig("late", value) for value in values]
    if fails := number % FAILING == 0:
        header[-1] = deployment.sig("late_fail")
    errback = deployment.sig("errback")
    body = chord(header)(deployment.sig("late").set(link_error=[errback]))
    return Sent(body, [part.id for part in body.parent.results], None if fails else values)


def test_no_chord_is_lost_or_early(deployment):
    """Each body gets all values after all parts have run, or fails and its errback is called."""
    with killed(deployment) as dead:
        sent = [send(deployment, number) for number in range(CHORDS)]
        for each in sent:
            each.body.get(timeout=PATIENCE, propagate=False)
    print(f"{len(sent)} chords, {len(dead)} processes killed")
    assert [each for each in sent if not is_right(deployment, each)] == []
    failed = {each.body.id for each in sent if each.values is None}
    told = lambda: {each["of"] for each in deployment.said("errback")}  # noqa: E731
    deployment.until(lambda: failed <= told(), "errbacks are called")
    assert early(deployment, sent) == []
    assert len(dead) > CHORDS // 20


def is_right(deployment: Deployment, sent: Sent) -> bool:
    """True if the body's record is what it has to be."""
    meta = deployment.meta(sent.body.id)
    if sent.values is None:
        return meta["status"] == "FAILURE"
    return (meta["status"], meta["result"]) == ("SUCCESS", sent.values)


def early(deployment: Deployment, sent: list[Sent]) -> list[str]:
    """The bodies that ran before one of their parts."""
    place: dict[str, int] = {}
    for number, each in enumerate(deployment.said("part")):
        place.setdefault(each["id"], number)
    return [
        each.body.id
        for each in sent
        if each.body.id in place
        and any(place.get(part, len(place) ** 2) > place[each.body.id] for part in each.header)
    ]
