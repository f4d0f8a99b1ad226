"""A SUCCESS and a RETRY of one task, stored by two processes at the same moment."""

import mmap
import time
from collections.abc import Iterator
from pathlib import Path

from celery import states
from kombu.exceptions import DecodeError

from benchmarks.backends import DATABASE, FILES, NORMAL, new_id, open_backend, urls
from benchmarks.helpers import Helper, helpers
from benchmarks.plan import Plan
from benchmarks.rows import Row, at_most, figure

PATIENCE = 60.0
"""Seconds that one process waits for the other before it goes on alone."""


def store_in_step(url: str, ids: list[str], state: str, meeting: Path, seat: int) -> list[str]:
    """Store `state` for each id, at the same moment as the process in the other seat; errors."""
    backend, errors = open_backend(url), []
    with meeting.open("r+b") as file, mmap.mmap(file.fileno(), 8) as page:
        counts = memoryview(page).cast("I")
        for number, task_id in enumerate(ids, 1):
            counts[seat] = number
            _until(counts, 1 - seat, number)
            try:
                result = "done" if state == states.SUCCESS else ValueError("again")
                backend.store_result(task_id, result, state)
            except Exception as error:  # noqa: BLE001 - counted, not fatal
                errors.append(f"{type(error).__name__}: {error}")
        counts.release()
    return errors


def races(plan: Plan) -> Iterator[Row]:
    """How many successes are lost."""
    counts = {NORMAL: plan.races, DATABASE: plan.rival_races, FILES: plan.races}
    backends = urls(plan.folder / "races")
    with helpers(0, 1) as pair:
        for name, count in counts.items():
            lost, errors = lost_successes(pair, plan.folder, backends[name], count)
            detail = f"of {count:,} races; {errors} errors"
            gate = at_most(0) if name == NORMAL else None
            yield figure("SUCCESS lost to a RETRY", name, lost, "lost", gate, detail)


def lost_successes(pair: list[Helper], folder: Path, url: str, count: int) -> tuple[int, int]:
    """How many successes are lost in so many races, and how many stores failed."""
    meeting = folder / "meeting"
    meeting.write_bytes(bytes(8))
    ids = [new_id() for _ in range(count)]
    for seat, state in enumerate((states.SUCCESS, states.RETRY)):
        pair[seat].start(store_in_step, url, ids, state, meeting, seat)
    errors = sum(len(helper.result()) for helper in pair)
    return sum(not _succeeded(url, each) for each in ids), errors


def _succeeded(url: str, task_id: str) -> bool:
    """False too if the record is broken: two who write one file may leave a mixture."""
    try:
        meta = open_backend(url).get_task_meta(task_id, cache=False)
    except DecodeError:
        return False
    return bool(meta["status"] == states.SUCCESS)


def _until(counts: "memoryview[int]", seat: int, number: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while counts[seat] < number and time.monotonic() < deadline:
        pass
