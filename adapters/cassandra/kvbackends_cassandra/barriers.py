"""A chord's barrier in one partition: the order of the requests in `rows`.

An arrival inserts its rows by a plain write, which cannot conflict with another one, and then
counts.  Only the size, added slots, the claim and the tombstone are lightweight transactions.  The
claim stores which values it found, so nothing that arrives later changes what `parts` yields.
"""

import secrets
from collections.abc import Iterable, Iterator

from kvbackends.contract import Control, Listed, Recent, Snapshot, StepwiseBarrier, Store, Visit
from kvbackends_cassandra.client import Client
from kvbackends_cassandra.rows import FULL, Key, Row, Rows, Tally, Where

_STAMP = 16


class Memory:
    """A process's memory of barriers, which saves reads.  The server checks every use of it."""

    def __init__(self) -> None:
        self.where: Recent[Where] = Recent(1000)
        """The run and bucket of the last insert, by barrier."""
        self.opened: Recent[Snapshot] = Recent(1000)
        """The record that this process wrote when it opened the barrier; used once."""

    def forget(self, barrier: str) -> None:
        """Forget a closed barrier."""
        self.where.pop(barrier)
        self.opened.pop(barrier)


class CassandraBarrier(StepwiseBarrier):
    """A barrier in the rows of one partition."""

    def __init__(
        self, store: Store, client: Client, memory: Memory, name: str, ttl: float | None = None
    ) -> None:
        super().__init__(store, name, ttl)
        self._rows = Rows(client, name, ttl)
        self._memory = memory
        self._where = memory.where.get(name)
        self._known: Snapshot | None = None
        self._row: Row | None = None
        self._size_known = False
        self._tally: Tally | None = None
        self._first: dict[Listed, bytes] = {}

    def open(self, payload: bytes) -> None:
        """Cost: one request.  Every run has rows of its own."""
        run = secrets.token_hex(6)
        self._memory.opened.put(self.name, self._rows.open(Control(run=run), payload))
        self._go(Where(run))

    def record(self, visit: Visit) -> Snapshot | None:
        """Cost: two requests, and one more for a process's first part of a barrier."""
        if visit.size is not None and not self._write_size(visit.size):
            return None
        if self._where is None:
            known = self._record()
            if not known.open:
                return known
            self._where = Where(known.control.run)
        here = self._where
        if visit.value is not None and (self._row is None or self._row.where.run != here.run):
            self._row = self._rows.put(here, visit.part, visit.value)
        tally = self._tally = self._count(here)
        control = tally.snapshot.control
        if tally.snapshot.version is not None and control.run != here.run:
            self._forget_row()
            self._go(Where(control.run))
            return None
        if not tally.snapshot.open:
            self._memory.forget(self.name)
        elif self._moves(here, tally) or self._prolongs(tally):
            return None
        elif self._memory.where.get(self.name) is None:
            self._go(here)
        return tally.snapshot._replace(arrived=tally.sealed + tally.here)

    def snapshot(self) -> Snapshot:
        """Cost: one request."""
        return self._rows.state()

    def swap(self, snapshot: Snapshot, control: Control) -> bool:
        """Cost: one request."""
        if control.done:
            self._memory.forget(self.name)
            return self._rows.close(snapshot, control)
        if control.strays:
            return True  # nothing to write: the claim stores the stamps of its values
        self._known = self._rows.swap(snapshot, control)
        return self._known is not None

    def listed(self, snapshot: Snapshot) -> Iterable[Listed]:
        """Cost: one request for each page.  Of each part the first value counts."""
        self._first = earliest(self._rows.listed(snapshot.control.run, self._tally))
        return self._first

    def payload(self, snapshot: Snapshot) -> bytes:
        """Cost: one request."""
        return self._rows.kept().payload or b""

    def claim(self, snapshot: Snapshot, control: Control) -> bytes | None:
        """Cost: two requests.  Stores the stamps of the chosen values with the claim.

        A delivery that takes over a claim keeps its stamps.
        """
        kept, self._known = self._rows.kept(), None
        if kept.snapshot.version != snapshot.version:
            return None
        stamps = kept.chosen
        if snapshot.control.claim is None:
            stamps = b"".join(self._first[each] for each in control.chosen(self._first) or ())
        return (kept.payload or b"") if self._rows.swap_all(kept, control, stamps) else None

    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """Cost: one request, and one for each page of values, or two before the claim."""
        kept = self._rows.kept()
        control = kept.snapshot.control
        if control.done:
            return
        if control.claim is not None:
            wanted = set(_stamps(kept.chosen))
        else:
            wanted = set(earliest(self._rows.listed(control.run)).values())
        for place, member, stamp, value in self._rows.values(control.run):
            if stamp in wanted:
                yield place, member, value

    def forget(self, visit: Visit) -> None:
        """Cost: one request."""
        self._forget_row()

    def discard(self, snapshot: Snapshot) -> None:
        """Cost: one request."""
        self._rows.discard(snapshot.control.run)

    def _forget_row(self) -> None:
        if self._row is not None:
            self._rows.forget(self._row)
            self._row = None

    def _record(self) -> Snapshot:
        """The control record that this operation read or wrote last."""
        if self._known is None:
            self._known = self.snapshot()
        return self._known

    def _write_size(self, size: int) -> bool:
        """Write the size, once; False if the record has changed meanwhile."""
        if self._size_known:
            return True
        # A remembered record may be old.  It serves only for a transaction, which compares it.
        self._known = self._known or self._memory.opened.pop(self.name)
        snapshot = self._record()
        if snapshot.open and snapshot.control.size != size:
            if not self.swap(snapshot, snapshot.control.sized(size)):
                return False
            if self._where is not None and self._where.run != snapshot.control.run:
                self._go(Where(snapshot.control.run))
        self._size_known = True
        return True

    def _count(self, here: Where) -> Tally:
        tally = self._rows.tally(here)
        if tally is None:  # a partition without rows does not return its static columns
            return Tally(self._record())
        self._known = None
        return tally

    def _go(self, where: Where) -> None:
        self._where = where
        self._memory.where.put(self.name, where)

    def _moves(self, here: Where, tally: Tally) -> bool:
        """Seal and count buckets; true if the counts have to be read again.

        A process that sees a sealed bucket without a count, counts it.  A process that inserted a
        row before it saw the seal counts the bucket again.  So the process that reads the counts
        last sees every row inserted before.
        """
        if tally.counts < tally.seals:
            self._rows.count_sealed(here.run)
        elif tally.seals > here.bucket:
            if self._row is not None and self._row.where == here:
                self._rows.counted(here, tally.here)
            self._go(Where(here.run, tally.seals))
        elif tally.here >= FULL and tally.seals == here.bucket:
            self._rows.seal(here)
        else:
            return False
        return True

    def _prolongs(self, tally: Tally) -> bool:
        """Renew the record if it would expire before this part; true if it did."""
        if tally.left is None or (self.ttl is not None and tally.left >= self.ttl):
            return False
        kept = self._rows.kept()
        self._rows.swap_all(kept, kept.snapshot.control, kept.chosen)
        self._known = None
        return True


def earliest(listed: Iterable[Key]) -> dict[Listed, bytes]:
    """The first stamp of each part: that of the value that counts."""
    first: dict[Listed, bytes] = {}
    for place, member, stamp in listed:
        first[place, member] = min(stamp, first.get((place, member), stamp))
    return first


def _stamps(chosen: bytes | None) -> Iterator[bytes]:
    together = chosen or b""
    return (together[at : at + _STAMP] for at in range(0, len(together), _STAMP))
