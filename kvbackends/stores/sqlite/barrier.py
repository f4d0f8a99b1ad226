"""The barrier of a SQLite store: each operation is one transaction."""

from collections.abc import Callable, Iterator

from kvbackends.contract.barrier import Barrier
from kvbackends.contract.records import Arrival, BarrierState, Offer, Part, RankOf
from kvbackends.stores.sqlite import barrier_steps as steps
from kvbackends.stores.sqlite import inspecting
from kvbackends.stores.sqlite.database import Database
from kvbackends.stores.sqlite.sweeping import empty_trash


class SQLiteBarrier(Barrier):
    """Rows of several tables; a part and its result are stored together."""

    def __init__(self, database: Callable[[], Database], name: str, ttl: float | None) -> None:
        self.name, self.ttl = name, ttl
        self._database = database

    def open(self, payload: bytes) -> None:
        """One transaction."""
        self._database().write(steps.begin, self.name, payload, self.ttl)

    def expect(self, part: Part, size: int) -> Arrival:
        """One transaction."""
        return self._database().write(steps.expect, self.name, part, size, self.ttl)

    def expect_more(self, part: Part, slot: int, member: str) -> None:
        """One transaction."""
        self._database().write(steps.expect_more, self.name, part, slot, member, self.ttl)

    def arrive(self, part: Part, value: bytes | None, evict: str | None = None) -> Arrival:
        """One transaction."""
        return self._database().write(steps.arrive, self.name, part, value, self.ttl, evict)

    def finish(
        self, part: Part, offer: Offer, rank_of: RankOf, evict: str | None = None
    ) -> Arrival:
        """One transaction for the part and the result."""
        return self._database().write(
            steps.finish, self.name, part, offer, rank_of, self.ttl, evict
        )

    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """All parts of one moment, in one query or two."""
        return iter(self._database().read(steps.parts, self.name))

    def renew(self, part: Part) -> bool:
        """One query."""
        return self._database().read(steps.holds, self.name, part)

    def state(self) -> BarrierState | None:
        """Four queries in one transaction."""
        return self._database().read(inspecting.state, self.name)

    def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
        """One transaction for the tombstone and the result; the parts are then deleted in steps.

        Parts that a crash leaves behind are deleted by other writers.
        """
        self._database().write(steps.close, self.name, self.ttl, offer, rank_of)
        empty_trash(self._database())
