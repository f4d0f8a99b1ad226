"""Removal of what has expired, in small steps."""

from contextlib import suppress

from kvbackends.contract import seconds_left
from kvbackends_postgresql.connections import Connections
from kvbackends_postgresql.errors import Refused, Unavailable

STEP = 200
"""Most rows that a writer removes at a time."""
EVERY = 100
"""Writes between two removals: a process removes twice as fast as it writes."""


class Sweeper:
    """Counts the writes of a process, and removes expired rows now and then."""

    def __init__(self, connections: Connections) -> None:
        self._ask = connections.ask
        self._statements = connections.statements
        self._writes = EVERY // 2

    def wrote(self) -> None:
        """Count a write."""
        self._writes += 1
        if self._writes >= EVERY:
            self._writes = 0
            if seconds_left() > 1:
                with suppress(Unavailable, Refused):  # the write itself was done
                    self.sweep(STEP)

    def sweep(self, limit: int) -> int:
        """Remove at most `limit` expired rows, passing over those that others remove."""
        entries = len(self._ask(self._statements.sweep_entries, limit))
        left = limit - entries
        barriers = len(self._ask(self._statements.sweep_barriers, left)) if left else 0
        for (run,) in self._ask(self._statements.trash):
            self._ask(self._statements.discard, run)
        return entries + barriers
