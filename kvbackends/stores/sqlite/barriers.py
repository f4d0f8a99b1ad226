"""The chord's barrier in transactions: the meaning of `kvbackends.contract.stepwise`, by counters.

Whether a barrier is complete is read off its row: an arrival changes one row of `part` and that
one, however many parts there are.
"""

import secrets
import time
from typing import NamedTuple

from kvbackends.contract.records import Arrival, Offer, Outcome, Part, Rank, RankOf
from kvbackends.stores.sqlite import entries
from kvbackends.stores.sqlite.entries import expiry
from kvbackends.stores.sqlite.pool import Connection

_WAITING = Arrival(Outcome.WAITING)
_CLOSED = Arrival(Outcome.CLOSED)

_LOOK = """
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
# Rows of one run are numbered in the order of arrival: who came first into a slot stays chosen.
_FILLED = """
SELECT place, member, value FROM part WHERE rowid IN (
    SELECT min(part.rowid) FROM slot JOIN part USING (run, member)
    WHERE run = ? AND slot <> '' GROUP BY slot)
"""
_STRAY = ""
"""Stands for the slot of parts that were added after the claim: they count for nothing."""


class Barrier(NamedTuple):
    """A row of the table; `docs/protocol.md` has the terms."""

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


def open_barrier(connection: Connection, name: str, about: bytes, ttl: float | None) -> None:
    """Begin a new run."""
    run = _begin(connection, name, ttl, done=False).run
    connection.execute("INSERT INTO about (run, value) VALUES (?, ?)", (run, about))


def expect(connection: Connection, part: Part, size: int, ttl: float | None) -> Arrival:
    """Write the size, then look like any arrival."""
    barrier = look(connection, part.barrier) or _begin(connection, part.barrier, ttl, done=False)
    if barrier.done:
        return _CLOSED
    connection.execute(_SIZE, (size, expiry(ttl, time.time()), part.barrier))
    return _claim(connection, barrier._replace(size=size), part, ttl)


def expect_more(
    connection: Connection, part: Part, number: int, member: str, ttl: float | None
) -> None:
    """One part more.  After the claim nothing more is expected."""
    barrier = look(connection, part.barrier) or _begin(connection, part.barrier, ttl, done=False)
    if barrier.done:
        return
    slot = f"{part.place}:{part.member}:{number}"
    known = connection.execute(_SLOTS_OF, (barrier.run, member)).fetchall()
    if slot in dict(known):
        return
    changed = _added(
        connection, barrier, slot if barrier.delivery is None else _STRAY, member, not known
    )
    _write_counts(connection, changed, part.barrier, ttl)


def arrive(
    connection: Connection, part: Part, value: bytes | None, ttl: float | None, evict: str | None
) -> Arrival:
    """Record the part once, count it, and claim the barrier if it is complete."""
    barrier = look(connection, part.barrier)
    if barrier is None:
        if value is None:
            return _WAITING
        barrier = _begin(connection, part.barrier, ttl, done=False)
    if barrier.done:
        return _CLOSED
    if value is not None:
        barrier = _recorded(connection, barrier, part, value)
        _write_counts(connection, barrier, part.barrier, ttl)
    return _claim(connection, barrier, part, ttl, evict, arrives=value is not None)


def finish(
    connection: Connection,
    offer: Offer,
    part: Part,
    rank_of: RankOf,
    ttl: float | None,
    evict: str | None,
) -> Arrival:
    """The result and the part; a success that completes the barrier is stored later."""
    arrival = arrive(connection, part, offer.value, ttl, evict)
    if offer.rank is not Rank.SUCCEEDED or arrival.outcome is Outcome.WAITING:
        entries.ranked(connection, offer, rank_of)
    return arrival


def parts(connection: Connection, name: str) -> list[tuple[int, str, bytes]]:
    """The parts of the header and one for each slot; all parts while the barrier is incomplete."""
    barrier = look(connection, name)
    if barrier is None or barrier.done:
        return []
    if not barrier.full():
        return connection.execute(_ALL, (barrier.run,)).fetchall()
    header, filled = (connection.execute(sql, (barrier.run,)) for sql in (_HEADER, _FILLED))
    return [*header, *filled]


def renew(connection: Connection, part: Part) -> bool:
    """True if this delivery still holds the claim."""
    barrier = look(connection, part.barrier)
    return barrier is not None and not barrier.done and barrier.delivery == part.delivery


def close_barrier(
    connection: Connection, part: Part, ttl: float | None, offer: Offer | None, rank_of: RankOf
) -> None:
    """The tombstone, whoever holds the claim by now, and the result; the parts become trash.

    A run that nobody has claimed began after the one that was dispatched, and is left alone.
    """
    barrier = look(connection, part.barrier)
    if barrier is None or barrier.done or barrier.delivery is not None:
        _begin(connection, part.barrier, ttl, done=True)
    if offer is not None:
        entries.ranked(connection, offer, rank_of)


def look(connection: Connection, name: str) -> Barrier | None:
    """The row of a barrier that has not expired."""
    row = connection.execute(_LOOK, (name, time.time())).fetchone()
    return None if row is None else Barrier(*row)


def _begin(connection: Connection, name: str, ttl: float | None, *, done: bool) -> Barrier:
    """Write a row without parts over whatever is there."""
    connection.execute(_DISCARD, (name,))
    run = secrets.randbits(62)
    connection.execute(_OPEN, (name, run, expiry(ttl, time.time()), done))
    return Barrier(run, done, None, 0, 0, 0)


def _recorded(connection: Connection, barrier: Barrier, part: Part, value: bytes) -> Barrier:
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


def _added(
    connection: Connection, barrier: Barrier, slot: str, member: str, was_header: bool
) -> Barrier:
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


def _write_counts(connection: Connection, barrier: Barrier, name: str, ttl: float | None) -> None:
    counts = barrier.header, barrier.slots, barrier.unfilled
    connection.execute(_COUNT, (*counts, expiry(ttl, time.time()), name))


def _claim(
    connection: Connection,
    barrier: Barrier,
    part: Part,
    ttl: float | None,
    evict: str | None = None,
    *,
    arrives: bool = True,
) -> Arrival:
    if not barrier.full():
        return _WAITING
    holder = barrier.delivery
    # Who only looks does not break a claim of its own part: see `Store.arrive`.
    mine = arrives and (barrier.place, barrier.member) == (part.place, part.member)
    if holder is not None and not mine and holder not in (part.delivery, evict):
        return Arrival(Outcome.HELD, holder=holder)
    if holder != part.delivery:
        claim = part.place, part.member, part.delivery
        connection.execute(_CLAIM, (*claim, expiry(ttl, time.time()), part.barrier))
    about = connection.execute("SELECT value FROM about WHERE run = ?", (barrier.run,)).fetchone()
    return Arrival(
        Outcome.CLAIMED,
        parts=barrier.header + barrier.slots,
        about=about[0] if about else b"",
    )
