"""A barrier's partition: the control record in static columns, and rows for each recorded value.

Each value has two rows: one in a numbered bucket, which is counted, and one in bucket -2, which
holds the bytes.  Only the open bucket is counted, so counting costs the same however many rows
there are.  A full bucket is sealed by a row in bucket -1, to which its count is added later.  A
count is written with itself as the timestamp, so the greatest count stays.
"""

import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from kvbackends.contract import NO_RECORD, Control, Part, Snapshot
from kvbackends_cassandra import versions
from kvbackends_cassandra.client import Client
from kvbackends_cassandra.times import seconds

FULL = 128
"""Rows that fill a bucket.  Measured: counting so many takes as long as inserting one row."""
FIRST_PAGE, MOST_ROWS, PAGE_BYTES = 40, 1000, 4 << 20
"""Rows of the first page of values, most rows of a later one, and the intended bytes of a page."""
_SEALS = -1
_ANY_CLOCK = 60_000_000
"""Microseconds that other hosts' clocks may be ahead: a run is deleted with a timestamp later than
those of its rows.
"""

_STATE = "SELECT DISTINCT barrier, control, version FROM {barriers} WHERE barrier = ?"
_KEPT = (
    "SELECT DISTINCT barrier, control, version, payload, chosen FROM {barriers} WHERE barrier = ?"
)
_TALLY = (
    "SELECT bucket, count(*), count(amount), sum(amount), control, version, TTL(control), "
    "TTL(payload) FROM {barriers} WHERE barrier = ? AND run = ? AND bucket IN (-1, ?) "
    "GROUP BY barrier, run, bucket"
)
_OPEN = (
    "UPDATE {barriers} USING TTL ? SET control = ?, version = ?, payload = ? "
    "WHERE barrier = ? IF version != ?"
)
_SWAP = (
    "UPDATE {barriers} USING TTL ? SET control = ?, version = ? WHERE barrier = ? IF version = ?"
)
_SWAP_ALL = (
    "UPDATE {barriers} USING TTL ? SET control = ?, version = ?, payload = ?, chosen = ? "
    "WHERE barrier = ? IF version = ?"
)
# Both rows are in one partition, so the batch is atomic.  The value has a row of its own, so that
# counting does not read it.
_PUT = (
    "BEGIN UNLOGGED BATCH "
    "INSERT INTO {barriers} (barrier, run, bucket, place, member, stamp, amount) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) USING TTL ?; "
    "INSERT INTO {barriers} (barrier, run, bucket, place, member, stamp, value) "
    "VALUES (?, ?, -2, ?, ?, ?, ?) USING TTL ?; "
    "APPLY BATCH"
)
_FORGET = (
    "DELETE FROM {barriers} "
    "WHERE barrier = ? AND run = ? AND bucket IN (-2, ?) AND place = ? AND member = ? AND stamp = ?"
)
_SEAL = (
    "INSERT INTO {barriers} (barrier, run, bucket, place, member, stamp) "
    "VALUES (?, ?, -1, ?, '', 0x) USING TTL ?"
)
_COUNTED = (
    "UPDATE {barriers} USING TTL ? AND TIMESTAMP ? SET amount = ? "
    "WHERE barrier = ? AND run = ? AND bucket = -1 AND place = ? AND member = '' AND stamp = 0x"
)
_SEALED = "SELECT place, amount FROM {barriers} WHERE barrier = ? AND run = ? AND bucket = -1"
_COUNT = "SELECT count(*) FROM {barriers} WHERE barrier = ? AND run = ? AND bucket = ?"
# Also reads the time of the value: so read repair makes later quorum reads find the value.
_LIST = (
    "SELECT place, member, stamp, WRITETIME(value) FROM {barriers} "
    "WHERE barrier = ? AND run = ? AND bucket = -2"
)
_VALUES = (
    "SELECT place, member, stamp, value FROM {barriers} "
    "WHERE barrier = ? AND run = ? AND bucket = -2"
)
_DISCARD = "DELETE FROM {barriers} USING TIMESTAMP ? WHERE barrier = ? AND run = ?"


Key = tuple[int, str, bytes]
"""Place, member and stamp of one recorded value."""


class Kept(NamedTuple):
    """The static columns of a barrier."""

    snapshot: Snapshot
    payload: bytes | None
    chosen: bytes | None
    """The stamps of the values that the first claim found."""


class Where(NamedTuple):
    """The run and the bucket that rows are inserted into."""

    run: str
    bucket: int = 0


class Row(NamedTuple):
    """A recorded value's place in the table."""

    where: Where
    part: Part
    stamp: bytes


class Tally(NamedTuple):
    """The control record, and the counts of the rows of its run."""

    snapshot: Snapshot
    left: float | None = None
    """Seconds until the record expires; None: never."""
    seals: int = 0
    """Number of sealed buckets; also the number of the open one."""
    counts: int = 0
    """Number of sealed buckets that have a count."""
    sealed: int = 0
    """Sum of these counts."""
    here: int = 0
    """Number of rows in the requested bucket."""
    kilobytes: int = 0
    """Size of their values together."""


class Rows:
    """The requests for one barrier.  Each method is one request unless it says otherwise."""

    def __init__(self, client: Client, barrier: str, ttl: float | None) -> None:
        self._client = client
        self._barrier = barrier
        self._ttl = seconds(ttl)
        # Twice the ttl of a part, so that only a few arrivals have to renew the record.
        self._long = seconds(None if ttl is None else 2 * ttl)

    # -- the control record -------------------------------------------------------------------

    def state(self) -> Snapshot:
        """The control record."""
        rows = self._client.rows(_STATE, (self._barrier,))
        return Snapshot(Control.decode(rows[0][1]), rows[0][2]) if rows else NO_RECORD

    def kept(self) -> Kept:
        """All static columns."""
        rows = self._client.rows(_KEPT, (self._barrier,))
        if not rows:
            return Kept(NO_RECORD, None, None)
        _, control, version, payload, chosen = rows[0]
        return Kept(Snapshot(Control.decode(control), version), payload, chosen)

    def open(self, control: Control, payload: bytes) -> Snapshot:
        """Replace the record unconditionally."""
        mine = versions.first()
        values = (self._long, control.encode(), mine, payload, self._barrier, mine)
        self._client.decide(_OPEN, values, mine)
        return Snapshot(control, mine)

    def swap(self, snapshot: Snapshot, control: Control) -> Snapshot | None:
        """Replace the record if it is unchanged; None if it has changed."""
        mine = versions.after(snapshot.version)
        values = (self._long, control.encode(), mine, self._barrier, snapshot.version)
        applied = self._client.decide(_SWAP, values, mine).applied
        return Snapshot(control, mine) if applied else None

    def swap_all(self, kept: Kept, control: Control, chosen: bytes | None) -> bool:
        """Replace all static columns if the record is unchanged; they get the same ttl."""
        mine = versions.after(kept.snapshot.version)
        values = (self._long, control.encode(), mine, kept.payload, chosen)
        condition = (self._barrier, kept.snapshot.version)
        return self._client.decide(_SWAP_ALL, values + condition, mine).applied

    def close(self, snapshot: Snapshot, control: Control) -> bool:
        """Write the tombstone if the record is unchanged."""
        mine = versions.after(snapshot.version)
        values = (self._ttl, control.encode(), mine, None, None, self._barrier, snapshot.version)
        return self._client.decide(_SWAP_ALL, values, mine).applied

    # -- parts --------------------------------------------------------------------------------

    def put(self, where: Where, part: Part, value: bytes) -> Row:
        """Record a value.  Every call inserts its own rows; the stamps order them by time."""
        stamp = time.time_ns().to_bytes(8, "big") + os.urandom(8)
        key = (part.place, part.member, stamp)
        row = (self._barrier, *where, *key, len(value) >> 10, self._ttl)
        self._client.rows(_PUT, (*row, self._barrier, where.run, *key, value, self._ttl))
        return Row(where, part, stamp)

    def forget(self, row: Row) -> None:
        """Remove a recorded value."""
        key = (self._barrier, *row.where, row.part.place, row.part.member, row.stamp)
        self._client.rows(_FORGET, key)

    def tally(self, where: Where) -> Tally | None:
        """The record and the counts; None if the partition has no rows to count."""
        rows = self._client.rows(_TALLY, (self._barrier, *where))
        if not rows:
            return None
        lives = [left for left in rows[0][6:8] if left is not None]
        found = Tally(Snapshot(Control.decode(rows[0][4]), rows[0][5]), min(lives, default=None))
        for bucket, count, counts, total, *_ in rows:
            if bucket == _SEALS:
                found = found._replace(seals=count, counts=counts, sealed=total)
            else:
                found = found._replace(here=count, kilobytes=total)
        return found

    def seal(self, where: Where) -> None:
        """Seal a bucket: processes that see the seal insert into the next one."""
        self._client.rows(_SEAL, (self._barrier, where.run, where.bucket, self._long))

    def count_sealed(self, run: str) -> None:
        """Count the sealed buckets without a count.  Cost: one request, and two for each."""
        for bucket, counted in self._client.rows(_SEALED, (self._barrier, run)):
            if counted is None:
                ((count,),) = self._client.rows(_COUNT, (self._barrier, run, bucket))
                self.counted(Where(run, bucket), count)

    def counted(self, where: Where, count: int) -> None:
        """Write the count of a sealed bucket; of several counts the greatest stays."""
        values = (self._long, max(count, 1), count, self._barrier, where.run, where.bucket)
        self._client.rows(_COUNTED, values)

    def listed(self, run: str, tally: Tally | None = None) -> Iterator[Key]:
        """The keys of all values.  Cost: one request for each page."""
        page = FIRST_PAGE
        if tally is not None and tally.here:
            page = _page(tally.kilobytes * 1024 // tally.here)
        for rows in self._client.stream(_LIST, (self._barrier, run), page, lambda _: page):
            yield from (row[:3] for row in rows)

    def values(self, run: str) -> Iterator[tuple[int, str, bytes, bytes]]:
        """All values.  Cost: one request for each page of about 4 MB."""
        for rows in self._client.stream(_VALUES, (self._barrier, run), FIRST_PAGE, _next_page):
            yield from rows

    def discard(self, run: str) -> None:
        """Remove all rows of a run."""
        until = time.time_ns() // 1000 + _ANY_CLOCK
        self._client.rows(_DISCARD, (until, self._barrier, run))


def _page(mean: int) -> int:
    """The number of values of this mean size, in bytes, that make a page."""
    return max(1, min(MOST_ROWS, PAGE_BYTES // (mean + 100)))


def _next_page(rows: list[tuple[Any, ...]]) -> int:
    return _page(sum(len(row[3]) for row in rows) // max(len(rows), 1))
