"""What operators read of chords: their names, and the state of one."""

import time
from collections.abc import Iterator

from kvbackends.contract.records import BarrierState, Part
from kvbackends.stores.sqlite.barrier_steps import read
from kvbackends.stores.sqlite.database import Database
from kvbackends.stores.sqlite.entries import PAGE
from kvbackends.stores.sqlite.pool import Connection

_NAMES = "SELECT name, expires, done FROM barrier WHERE name > ? ORDER BY name LIMIT ?"
_NAMES_FIRST = _NAMES.replace(">", ">=")
_ARRIVED = "SELECT place, member FROM part WHERE run = ?"
_SLOTS = "SELECT slot, member FROM slot WHERE run = ? AND slot <> '' ORDER BY rowid"
_ABOUT = "SELECT value FROM about WHERE run = ?"


def barriers(database: Database, prefix: str) -> Iterator[str]:
    """Yield the names of open barriers that begin with `prefix`, in order; read in pages."""
    sql, last = _NAMES_FIRST, prefix
    while rows := database.rows(sql, (last, PAGE)):
        now = time.time()
        for name, expires, done in rows:
            if not name.startswith(prefix):
                return
            if expires > now and not done:
                yield name
        sql, last = _NAMES, rows[-1][0]


def state(connection: Connection, name: str) -> BarrierState | None:
    """The barrier at this moment, inside a transaction; None if it is not open."""
    barrier = read(connection, name)
    if barrier is None or barrier.done:
        return None
    arrived, slots, about = (
        connection.execute(sql, (barrier.run,)).fetchall() for sql in (_ARRIVED, _SLOTS, _ABOUT)
    )
    members: dict[str, list[str]] = {}
    for slot, member in slots:
        members.setdefault(slot, []).append(member)
    holder = barrier.delivery and Part(barrier.place or 0, barrier.member or "", barrier.delivery)
    payload = about[0][0] if about else b""
    return BarrierState(barrier.size, frozenset(arrived), members, holder or None, payload)
