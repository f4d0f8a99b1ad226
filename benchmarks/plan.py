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
    chords: tuple[int, ...]
    """Sizes of headers."""
    stall: float
    """Seconds of writing in which the worst stall is looked for."""
    chords_end_to_end: int
    processes: int
    """Fresh interpreters for each figure about importing."""


def quick(folder: Path) -> Plan:
    """Under a minute: shows that all works, and roughly how fast."""
    return Plan(folder, 3, 0.03, 30, 6, 500, 60, (10, 100, 1000), 0.7, 2, 3)


def full(folder: Path) -> Plan:
    """Under six minutes."""
    return Plan(folder, 9, 0.1, 200, 24, 3000, 600, (10, 100, 1000, 10_000), 3.0, 9, 9)
