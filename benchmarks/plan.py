"""How much is measured, and where."""

from pathlib import Path
from typing import NamedTuple


class Plan(NamedTuple):
    """The size of a run."""

    folder: Path
    """An empty folder on the disk that is measured."""
    rounds: int
    run: float
    """Seconds that one contender runs at a time."""
    waits: int
    polled_waits: int
    """Celery's own waits take a quarter of a second each."""
    races: int
    rival_races: int
    sets: tuple[int, ...]
    """Sizes of sets of results that are read."""
    chords: tuple[int, ...]
    """Sizes of headers."""
    stall: float
    """Seconds of writing in which the worst stall is looked for."""
    chords_end_to_end: int
    processes: int
    """Fresh interpreters for each figure about importing."""
    operations: int
    """Operations for each figure of a server's or a worker's time."""


def quick(folder: Path) -> Plan:
    """Under a minute: shows that all works, and roughly how fast."""
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
        processes=1,
        operations=50,
    )


def quick_redis(folder: Path) -> Plan:
    """The same for ``--redis``, which measures more."""
    return quick(folder)._replace(rounds=1, waits=20, chords=(10, 100))


def full(folder: Path) -> Plan:
    """Under six minutes."""
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
        processes=5,
        operations=300,
    )
