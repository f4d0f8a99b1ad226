"""A schedule of faults, one node at a time."""

import contextlib
import sys
import threading
import time
from typing import Any, NamedTuple

from tests.servers import Group, ServerFailed
from tests.servers.faults import KINDS, possible

OUT = 8.0
"""Seconds for which a node is away."""
EVERY = 20.0
"""Seconds from the beginning of a fault to that of the next one, if the group is whole by then."""


class Fault(NamedTuple):
    """One fault: its kind, and the time from its beginning until the group was whole again."""

    kind: str
    began: float
    ended: float


class Faults(threading.Thread):
    """Lets faults happen.

    Args:
        group: Whose nodes have them.
        count: How many, each of another kind.
    """

    def __init__(self, group: Group[Any], count: int) -> None:
        super().__init__(name="faults")
        self.happened: list[Fault] = []
        self.error: BaseException | None = None
        self._group = group
        self._count = count

    def run(self) -> None:
        """One fault after the other, each to its end."""
        try:
            for kind in possible(self._group)[: self._count]:
                began = time.monotonic()
                self._happen(kind)
                self.happened.append(Fault(kind, began, time.monotonic()))
                print(f"  {kind}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
                time.sleep(max(0.0, began + EVERY - time.monotonic()))
        except BaseException as error:  # noqa: BLE001 - it is raised by the thread that joins
            self.error = error

    def _happen(self, name: str) -> None:
        kind = KINDS[name]
        node = kind.choose(self._group)
        kind.harm(self._group, node)
        if kind.heal:
            time.sleep(OUT)
            kind.heal(self._group, node)
        with contextlib.suppress(ServerFailed):  # then the next fault meets a group that heals
            self._group.settle()
