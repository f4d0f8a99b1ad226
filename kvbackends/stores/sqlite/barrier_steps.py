"""The steps of a chord's barrier, each inside a transaction of its caller.

A barrier's row holds counts that tell whether it is complete: an arrival writes one row of `part`
and that row, however many parts there are.
"""

import secrets
import time
from typing import NamedTuple

from kvbackends.contract.barrier import CLOSED, UNKNOWN, WAITING
from kvbackends.contract.records import Arrival, Offer, Outcome, Part, Rank, RankOf
from kvbackends.stores.sqlite import entries
from kvbackends.stores.sqlite.entries import expiry
from kvbackends.stores.sqlite.pool import Connection

_READ = """
SELECT run, done, size, header, slots, unfilled, place, member, delivery
FROM barrier WHERE name = ? AND expires > ?
"""
_OPEN = "INSERT OR REPLACE INTO barrier (name, run, expires, done) VALUES (?, ?, ?, ?)"
_DISCARD = "INSERT OR IGNORE INTO trash SELECT run FROM barrier WHERE name = ?"
_ARRIVE = """
INSERT INTO part (run, member, place, value) VALUES (?, ?, ?, ?)
ON CONFLICT (run, member, place) DO NOTHING
"""
_COUNT = """
UPDATE barrier SET header = ?, slots = ?, unfilled = ?, expires = max(expires, ?) WHERE name = ?
"""
_SIZE = "UPDATE barrier SET size = ?, expires = max(expires, ?) WHERE name = ?"
_CLAIM = """
UPDATE barrier SET place = ?, member = ?, delivery = ?, expires = max(expires, ?) WHERE name = ?
"""
_SLOTS_OF = """
SELECT slot, (SELECT max(other.arrived) FROM slot AS other
              WHERE other.run = slot.run AND other.slot = slot.slot)
FROM slot WHERE run = ? AND member = ?
"""
_ADD = "INSERT INTO slot (run, slot, member, arrived) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_FILL = "UPDATE slot SET arrived = 1 WHERE run = ? AND member = ?"
_ALL = "SELECT place, member, value FROM part WHERE run = ?"
_HEADER = """
SELECT place, member, value FROM part
WHERE run = ? AND NOT EXISTS (
    SELECT 1 FROM slot WHERE slot.run = part.run AND slot.member = part.member)
"""
# Rows of one run are numbered in the order of arrival: the first member of a slot stays chosen.
_FILLED = """
SELECT place, member, value FROM part WHERE rowid IN (
    SELECT min(part.rowid) FROM slot JOIN part USING (run, member)
    WHERE run = ? AND slot <> '' GROUP BY slot)
"""
_STRAY = ""
"""The slot of members that were added after the claim: they do not count."""


class Row(NamedTuple):
    """A row of the table `barrier`; `docs/protocol.md` explains the terms."""

    run: int
    done: int
    size: int | None
    header: int
    slots: int
    unfilled: int
    place: int | None = None
    member: str | None = None
    delivery: str | None = None

    def full(self) -> bool:
        """True if every expected part is in."""
        return self.size is not None and self.header >= self.size and not self.unfilled


def begin(connection: Connection, name: str, payload: bytes, ttl: float | None) -> None:
    """Begin a new run."""
    run = _begin(connection, name, ttl, done=False).run
    connection.execute("INSERT INTO about (run, value) VALUES (?, ?)", (run, payload))


def expect(connection: Connection, name: str, part: Part, size: int, ttl: float | None) -> Arrival:
    """Write the size, then claim the barrier if it is complete."""
    barrier = read(connection, name)
    if barrier is None or barrier.done:
        return UNKNOWN if barrier is None else CLOSED
    connection.execute(_SIZE, (size, expiry(ttl, time.time()), name))
    return _claim(connection, name, barrier._replace(size=size), part, ttl)


def expect_more(
    connection: Connection, name: str, part: Part, number: int, member: str, ttl: float | None
) -> None:
    """One part more.  Nothing more is expected after the claim, or where nothing was opened."""
    barrier = read(connection, name)
    if barrier is None or barrier.done:
        return
    slot = f"{part.place}:{part.member}:{number}"
    known = connection.execute(_SLOTS_OF, (barrier.run, member)).fetchall()
    if slot in dict(known):
        return
    changed = _added(
        connection, barrier, slot if barrier.delivery is None else _STRAY, member, not known
    )
    _write_counts(connection, changed, name, ttl)


def arrive(
    connection: Connection,
    name: str,
    part: Part,
    value: bytes | None,
    ttl: float | None,
    evict: str | None,
) -> Arrival:
    """Record the part once, count it, and claim the barrier if it is complete."""
    barrier = read(connection, name)
    if barrier is None or barrier.done:
        return UNKNOWN if barrier is None else CLOSED
    if value is not None:
        barrier = _recorded(connection, barrier, part, value)
        _write_counts(connection, barrier, name, ttl)
    return _claim(connection, name, barrier, part, ttl, evict, arrives=value is not None)


def finish(
    connection: Connection,
    name: str,
    part: Part,
    offer: Offer,
    rank_of: RankOf,
    ttl: float | None,
    evict: str | None,
) -> Arrival:
    """The result and the part; a success that completes the barrier is stored later."""
    arrival = arrive(connection, name, part, offer.value, ttl, evict)
    if offer.rank is not Rank.SUCCEEDED or arrival.outcome is Outcome.WAITING:
        entries.ranked(connection, offer, rank_of)
    return arrival


def parts(connection: Connection, name: str) -> list[tuple[int, str, bytes]]:
    """The parts of the header and one for each slot; all parts while the barrier is incomplete."""
    barrier = read(connection, name)
    if barrier is None or barrier.done:
        return []
    if not barrier.full():
        return connection.execute(_ALL, (barrier.run,)).fetchall()
    header, filled = (connection.execute(sql, (barrier.run,)) for sql in (_HEADER, _FILLED))
    return [*header, *filled]


def holds(connection: Connection, name: str, part: Part) -> bool:
    """True if this delivery has the claim."""
    barrier = read(connection, name)
    return barrier is not None and not barrier.done and barrier.delivery == part.delivery


def close(
    connection: Connection, name: str, ttl: float | None, offer: Offer | None, rank_of: RankOf
) -> None:
    """Write the tombstone and the result; the parts become trash.

    A run that no delivery has claimed began after the dispatched one, and is left alone.
    """
    barrier = read(connection, name)
    if barrier is None or barrier.done or barrier.delivery is not None:
        _begin(connection, name, ttl, done=True)
    if offer is not None:
        entries.ranked(connection, offer, rank_of)


def read(connection: Connection, name: str) -> Row | None:
    """The row of a barrier that has not expired."""
    row = connection.execute(_READ, (name, time.time())).fetchone()
    return None if row is None else Row(*row)


def _begin(connection: Connection, name: str, ttl: float | None, *, done: bool) -> Row:
    """Write a row without parts over whatever is there."""
    connection.execute(_DISCARD, (name,))
    run = secrets.randbits(62)
    connection.execute(_OPEN, (name, run, expiry(ttl, time.time()), done))
    return Row(run, done, None, 0, 0, 0)


def _recorded(connection: Connection, barrier: Row, part: Part, value: bytes) -> Row:
    run = barrier.run
    added = connection.execute(_ARRIVE, (run, part.member, part.place, value))
    if added.rowcount <= 0:
        return barrier
    slots = []
    if barrier.slots or barrier.delivery is not None:  # else nothing was added
        slots = connection.execute(_SLOTS_OF, (run, part.member)).fetchall()
    if not slots:
        return barrier._replace(header=barrier.header + 1)
    connection.execute(_FILL, (run, part.member))
    filled = sum(slot != _STRAY and not arrived for slot, arrived in slots)
    return barrier._replace(unfilled=barrier.unfilled - filled)


def _added(connection: Connection, barrier: Row, slot: str, member: str, was_header: bool) -> Row:
    """Put `member`, which may have arrived already, into a slot."""
    run = barrier.run
    (slot_arrived,) = connection.execute(
        "SELECT max(arrived) FROM slot WHERE run = ? AND slot = ?", (run, slot)
    ).fetchone()
    (places,) = connection.execute(
        "SELECT count(*) FROM part WHERE run = ? AND member = ?", (run, member)
    ).fetchone()
    connection.execute(_ADD, (run, slot, member, places > 0))
    changed = barrier._replace(header=barrier.header - places * was_header)
    if slot == _STRAY:
        return changed
    if slot_arrived is None:
        return changed._replace(slots=barrier.slots + 1, unfilled=barrier.unfilled + (not places))
    filled = places > 0 and not slot_arrived
    return changed._replace(unfilled=barrier.unfilled - filled)


def _write_counts(connection: Connection, barrier: Row, name: str, ttl: float | None) -> None:
    counts = barrier.header, barrier.slots, barrier.unfilled
    connection.execute(_COUNT, (*counts, expiry(ttl, time.time()), name))


def _claim(
    connection: Connection,
    name: str,
    barrier: Row,
    part: Part,
    ttl: float | None,
    evict: str | None = None,
    *,
    arrives: bool = True,
) -> Arrival:
    if not barrier.full():
        return WAITING
    holder = barrier.delivery
    # A delivery that brings nothing takes over no claim of its own part (`Visit.takes_over`).
    mine = arrives and (barrier.place, barrier.member) == (part.place, part.member)
    if holder is not None and not mine and holder not in (part.delivery, evict):
        return Arrival(Outcome.HELD, holder=holder)
    if holder != part.delivery:
        claim = part.place, part.member, part.delivery
        connection.execute(_CLAIM, (*claim, expiry(ttl, time.time()), name))
    payload = connection.execute("SELECT value FROM about WHERE run = ?", (barrier.run,)).fetchone()
    return Arrival(
        Outcome.CLAIMED,
        parts=barrier.header + barrier.slots,
        payload=payload[0] if payload else b"",
    )
