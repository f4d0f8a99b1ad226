"""Races: two processes store a SUCCESS and a RETRY of one task at the same time."""

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
"""Seconds for which one process waits for the other before it continues."""


def store_in_step(url: str, ids: list[str], state: str, meeting: Path, seat: int) -> list[str]:
    """Store `state` for each id, in step with the process of the other seat; return the errors."""
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
    """The number of successes that are lost."""
    counts = {NORMAL: plan.races, DATABASE: plan.rival_races, FILES: plan.races}
    backends = urls(plan.folder / "races")
    with helpers(0, 1) as pair:
        for name, count in counts.items():
            lost, errors = lost_successes(pair, plan.folder, backends[name], count)
            detail = f"of {count:,} races; {errors} errors"
            gate = at_most(0) if name == NORMAL else None
            yield figure("SUCCESS lost to a RETRY", name, lost, "lost", gate, detail)


def lost_successes(pair: list[Helper], folder: Path, url: str, count: int) -> tuple[int, int]:
    """Run `count` races; return the numbers of lost successes and of errors."""
    meeting = folder / "meeting"
    meeting.write_bytes(bytes(8))
    ids = [new_id() for _ in range(count)]
    for seat, state in enumerate((states.SUCCESS, states.RETRY)):
        pair[seat].start(store_in_step, url, ids, state, meeting, seat)
    errors = sum(len(helper.result()) for helper in pair)
    return sum(not _succeeded(url, each) for each in ids), errors


def _succeeded(url: str, task_id: str) -> bool:
    """Return False for a broken record, too: two writers of one file may mix their bytes."""
    try:
        meta = open_backend(url).get_task_meta(task_id, cache=False)
    except DecodeError:
        return False
    return bool(meta["status"] == states.SUCCESS)


def _until(counts: "memoryview[int]", seat: int, number: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while counts[seat] < number and time.monotonic() < deadline:
        pass
