"""The chord's barrier in one partition: the meaning of `docs/protocol.md`, by rows.

An arrival inserts a row, a plain write that meets no other, and then counts; only the size, what is
added, the claim and the tombstone are lightweight transactions.  The claim keeps which rows it
found, so nothing that arrives or is added later changes what `parts` yields.
"""

import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from kvbackends import Arrival, Outcome, Part
from kvbackends_cassandra.client import Client
from kvbackends_cassandra.control import Control, Owner, earliest
from kvbackends_cassandra.rows import FULL, Kept, Look, Row, Rows, State, Where

REMEMBERED = 1000
"""Barriers whose runs a process remembers."""
_STAMP = 16
_WAITING = Arrival(Outcome.WAITING)
_CLOSED = Arrival(Outcome.CLOSED)


class Visit(NamedTuple):
    """What comes to a barrier: a part with its value, the size, or somebody who looks."""

    part: Part
    ttl: float | None
    value: bytes | None = None
    evict: str | None = None
    size: int | None = None

    def may_take(self, owner: Owner | None) -> bool:
        """True if a claim of `owner` gives way to this visit.

        A part that arrives breaks a claim of its own at once: its earlier delivery is lost.  Who
        only looks does not, or two deliveries that both live would take it from each other for
        ever.
        """
        if owner is None or owner.delivery in (self.part.delivery, self.evict):
            return True
        return (self.value is not None or self.size is not None) and owner.is_part(self.part)


class Memory:
    """What a process remembers of barriers, to save looks; what it remembers is checked."""

    def __init__(self) -> None:
        self._where: dict[str, Where] = {}
        self._opened: dict[str, State] = {}

    def where(self, barrier: str) -> Where | None:
        """Where rows were inserted last."""
        return self._where.get(barrier)

    def opened(self, barrier: str) -> State | None:
        """The record that this process wrote when it opened the barrier, once."""
        return self._opened.pop(barrier, None)

    def keep(self, barrier: str, where: Where, opened: State | None = None) -> None:
        """Remember; forget the oldest if there are too many."""
        self._where[barrier] = where
        if opened is not None:
            self._opened[barrier] = opened
        for each in (self._where, self._opened):
            if len(each) > REMEMBERED:
                with suppress(RuntimeError):  # another thread has changed it just now
                    each.pop(next(iter(each)), None)

    def forget(self, barrier: str) -> None:
        """The barrier is closed."""
        self._where.pop(barrier, None)
        self._opened.pop(barrier, None)


def open_barrier(
    client: Client, memory: Memory, barrier: str, about: bytes, ttl: float | None
) -> None:
    """A new run: other rows for its parts, so nothing of an earlier run counts."""
    run = secrets.token_hex(6)
    state = Rows(client, barrier, ttl).open(Control(run=run), about)
    memory.keep(barrier, Where(run), state)


def visit(client: Client, memory: Memory, visit: Visit) -> Arrival:
    """Turns until there is an answer."""
    turns = _Turns(Rows(client, visit.part.barrier, visit.ttl), memory, visit)
    while (answer := turns.turn()) is None:
        pass
    return answer


def expect_more(client: Client, part: Part, slot: int, member: str, ttl: float | None) -> None:
    """One part more.  A run of the adder that comes again adds another member to the same slot."""
    rows = Rows(client, part.barrier, ttl)
    while True:
        state = rows.state()
        changed = state.control.added(f"{part.place}:{part.member}:{slot}", member)
        if changed is state.control or rows.swap(state, changed):
            return


def parts(client: Client, barrier: str) -> Iterator[tuple[Part, bytes]]:
    """What the claim found; while there is no claim, the first value of each part."""
    rows = Rows(client, barrier, None)
    kept = rows.kept()
    control = kept.state.control
    if control.done:
        return
    if control.owner is not None:
        wanted = set(_stamps(kept.chosen))
    else:
        wanted = set(earliest(rows.listed(control.run)).values())
    for place, member, stamp, value in rows.values(control.run):
        if stamp in wanted:
            yield Part(barrier, place, member, ""), value


def renew(client: Client, part: Part) -> bool:
    """True if this delivery still holds the claim."""
    owner = Rows(client, part.barrier, None).state().control.owner
    return owner is not None and owner.delivery == part.delivery


def close(client: Client, memory: Memory, part: Part, ttl: float | None) -> str | None:
    """Write the tombstone, whoever holds the claim; the run whose rows may go.

    A run that nobody has claimed began after the one that was dispatched, and is left alone.
    """
    rows = Rows(client, part.barrier, ttl)
    memory.forget(part.barrier)
    while True:
        state = rows.state()
        control = state.control
        if state.version is not None and control.owner is None and not control.done:
            return None
        if rows.close(state, Control(run=control.run, done=True)):
            return control.run


def discard(client: Client, barrier: str, run: str) -> None:
    """Remove the parts of a run that is over."""
    Rows(client, barrier, None).discard(run)


class _Turns:
    """The turns of one visit."""

    def __init__(self, rows: Rows, memory: Memory, visit: Visit) -> None:
        self._rows = rows
        self._memory = memory
        self._visit = visit
        self._row: Row | None = None
        self._told = visit.size is None
        # Remembered, not read: good for a transaction, which compares it, and for no answer.
        self._state = None if self._told else memory.opened(visit.part.barrier)
        self._where = memory.where(visit.part.barrier) or Where(self._known().control.run)

    def turn(self) -> Arrival | None:
        """Arrive first, look afterwards; None: something has changed, look again."""
        if not self._tell():
            return None
        self._record()
        look = self._look()
        control = look.state.control
        if control.run != self._where.run:
            self._forget()
            self._go(Where(control.run))
            return None
        if control.done:
            self._forget()
            self._memory.forget(self._visit.part.barrier)
            return _CLOSED
        if self._moves(look) or self._prolongs(look):
            return None
        if not control.may_be_full(look.sealed + look.here):
            return _WAITING
        return self._claim(look)

    def _known(self) -> State:
        """The record as it was read or written by this visit."""
        if self._state is None:
            self._state = self._rows.state()
        return self._state

    def _tell(self) -> bool:
        """Write the size, once; False: the record has changed meanwhile."""
        if self._told:
            return True
        state = self._known()
        control = state.control
        if not control.done and control.size != self._visit.size:
            self._state = self._rows.swap(state, replace(control, size=self._visit.size))
            if self._state is None:
                return False
            if control.run != self._where.run:
                self._go(Where(control.run))
        self._told = True
        return True

    def _record(self) -> None:
        value = self._visit.value
        if value is not None and (self._row is None or self._row.where.run != self._where.run):
            self._row = self._rows.put(self._where, self._visit.part, value)

    def _forget(self) -> None:
        if self._row is not None:
            self._rows.forget(self._row)
            self._row = None

    def _look(self) -> Look:
        found = self._rows.look(self._where)
        if found is None:  # no row is there to show the record
            return Look(self._known())
        self._state = None
        return found

    def _go(self, where: Where) -> None:
        self._where = where
        self._memory.keep(self._visit.part.barrier, where)

    def _moves(self, look: Look) -> bool:
        """Keep the buckets: true if there is something new to look at.

        After the seal can be seen each bucket is counted by whoever sees it uncounted, and again by
        everybody whose row is in it and who had not seen the seal before.  So the last one to look
        sees every row that was inserted before.
        """
        here = self._where
        if look.counts < look.seals:
            self._rows.count_sealed(here.run)
        elif look.seals > here.bucket:
            if self._row is not None and self._row.where == here:
                self._rows.counted(here, look.here)
            self._go(Where(here.run, look.seals))
        elif look.here >= FULL and look.seals == here.bucket:
            self._rows.seal(here)
        else:
            return False
        return True

    def _prolongs(self, look: Look) -> bool:
        """Let the record live as long as this part; seldom needed."""
        ttl = self._visit.ttl
        if look.left is None or (ttl is not None and look.left >= ttl):
            return False
        kept = self._rows.kept()
        self._rows.swap_all(kept, kept.state.control, kept.chosen)
        self._state = None
        return True

    def _claim(self, look: Look) -> Arrival | None:
        """Claim what was looked at; None if it has changed meanwhile."""
        control = look.state.control
        if not self._visit.may_take(control.owner):
            return Arrival(Outcome.HELD, holder=control.owner.delivery if control.owner else "")
        chosen = None if control.owner else control.chosen(self._rows.listed(control.run, look))
        if control.owner is None and chosen is None:
            return _WAITING
        kept = self._rows.kept()
        if kept.state.version != look.state.version:
            self._state = None
            return None
        stamps = kept.chosen if chosen is None else b"".join(chosen)
        return self._claimed(kept, stamps or b"")

    def _claimed(self, kept: Kept, stamps: bytes) -> Arrival | None:
        part = self._visit.part
        mine = Owner(part.place, part.member, part.delivery)
        control = replace(kept.state.control, owner=mine)
        held = kept.state.control.owner == mine
        if not held and not self._rows.swap_all(kept, control, stamps):
            self._state = None
            return None
        return Arrival(Outcome.CLAIMED, parts=len(stamps) // _STAMP, about=kept.about or b"")


def _stamps(chosen: bytes | None) -> Iterator[bytes]:
    together = chosen or b""
    return (together[at : at + _STAMP] for at in range(0, len(together), _STAMP))
