"""How much is measured, and in which folder."""

from pathlib import Path
from typing import NamedTuple


class Plan(NamedTuple):
    """The size of a run."""

    folder: Path
    """An empty folder, on a disk."""
    rounds: int
    run: float
    """Seconds of one run of a contender."""
    waits: int
    polled_waits: int
    """Number of waits on backends of Celery that poll, a quarter of a second each."""
    races: int
    rival_races: int
    sets: tuple[int, ...]
    """Numbers of results that are read together."""
    chords: tuple[int, ...]
    """Sizes of headers."""
    stall: float
    """Seconds of writing during which the longest stall is measured."""
    chords_end_to_end: int
    crowds: tuple[int, ...]
    """Numbers of processes, and of threads, with ``--concurrency``."""
    processes: int
    """New interpreters for each figure about imports."""
    operations: int
    """Operations for each figure about the time of a server or worker."""
    faults: int
    """Kinds of faults of nodes, at most one every twenty seconds, with ``--scale``."""


def quick(folder: Path) -> Plan:
    """Return a plan of less than a minute, for rough figures."""
    return Plan(
        folder,
        rounds=3,
        run=0.03,
        waits=30,
        polled_waits=5,
        races=500,
        rival_races=50,
        sets=(100,),
        chords=(10, 100, 1000),
        stall=0.7,
        chords_end_to_end=1,
        crowds=(1, 4),
        processes=1,
        operations=50,
        faults=2,
    )


def quick_redis(folder: Path) -> Plan:
    """Return the quick plan for ``--redis``, which measures more."""
    return quick(folder)._replace(rounds=1, waits=20, chords=(10, 100))


def full(folder: Path) -> Plan:
    """Return a plan of less than six minutes."""
    return Plan(
        folder,
        rounds=9,
        run=0.1,
        waits=200,
        polled_waits=16,
        races=3000,
        rival_races=500,
        sets=(100, 1000),
        chords=(10, 100, 1000, 10_000),
        stall=2.0,
        chords_end_to_end=4,
        crowds=(1, 2, 4, 8, 16, 32),
        processes=5,
        operations=300,
        faults=11,
    )
