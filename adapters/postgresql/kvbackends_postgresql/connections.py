"""The pool of connections: a call takes one for a statement and gives it back.

Not psycopg's own pool: it connects in threads of its own, so a wrong password would be a timeout.
"""

import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from kvbackends.contract import seconds_left
from kvbackends_postgresql import schema
from kvbackends_postgresql.errors import Missing, Unavailable, Unprepared
from kvbackends_postgresql.link import Link, Row, Statement, Value
from kvbackends_postgresql.options import Target
from kvbackends_postgresql.statements import Statements

TURN = 0.05
"""Seconds after which a call that waits for a connection checks again without a notification."""


class Known(NamedTuple):
    """What a process knows of its server."""

    pooled: bool
    """True if a pooler is between: the server is not the process that answers first."""
    utf8: bool
    """True if the database can store every character in a text."""


class _Slot:
    """A place for a connection, which is opened at its first use."""

    def __init__(self) -> None:
        self.link: Link | None = None

    def clear(self) -> None:
        """Close the connection."""
        link, self.link = self.link, None
        if link is not None:
            link.close()


class Connections:
    """The connections of one process: one per concurrent call, at most `target.max_connections`."""

    def __init__(self, target: Target, statements: Statements) -> None:
        self._target = target
        self.statements = statements
        self._free: deque[_Slot] = deque()
        # Weak: a slot lost by an exception in `_take` does not count any more.
        self._slots: weakref.WeakSet[_Slot] = weakref.WeakSet()
        self._listening: weakref.WeakSet[Link] = weakref.WeakSet()
        # Entered by itself, not by the condition: an exception that a signal raises as a method of
        # `Condition` begins would leave it locked.
        self._lock = threading.RLock()
        self._given_back = threading.Condition(self._lock)
        self._waiting = 0
        self._prepare = target.prepare
        self._known: Known | None = None
        """None until the tables were looked for."""
        self._closed = False

    def ask(self, statement: Statement, *values: Value) -> list[Row]:
        """The rows of a statement's answer."""
        try:
            return self._asked(statement, values)
        except Unprepared:  # nothing was executed
            self._prepare = False
            return self._asked(statement, values)
        except Missing:
            self._known = None
            raise

    def known(self) -> Known:
        """What the first connection has found; connects where there is none yet."""
        while (known := self._known) is None:
            self.ask(self.statements.ping)
        return known

    def for_listening(self) -> Link:
        """A connection for the caller alone; it does not count as one of the pool's."""
        link = Link.opened(self._target.listening or self._target)
        with self._lock:
            self._listening.add(link)
        return link

    def abandon(self) -> None:
        """Close a forked child's copies of the sockets; the parent's connections stay open."""
        for slot in self._slots:
            if slot.link is not None:
                slot.link.abandon()
        for link in self._listening:
            link.abandon()

    def close(self) -> None:
        """Close every connection that is not in use; others are closed when they are given back."""
        self._closed = True
        self._forget()

    def _asked(self, statement: Statement, values: Sequence[Value]) -> list[Row]:
        slot = self._take()
        try:
            link = slot.link
            if link is None or time.monotonic() - link.used > self._target.max_idle:
                slot.clear()
                link = slot.link = Link.opened(self._target)
            if self._known is None:
                self._look(link)
            return link.ask(statement, values, prepare=self._prepare)
        except BaseException:
            if slot.link is not None and not slot.link.usable():
                self._forget()  # the others have most likely lost the same server
                slot.clear()
            raise
        finally:
            self._give_back(slot)

    def _look(self, link: Link) -> None:
        """Make the tables if they are missing, and see whether a pooler is between."""
        schema.prepare(link, self._target.names)
        ((process,),) = link.ask(self.statements.whoami, (), prepare=False)
        self._known = Known(
            pooled=int.from_bytes(process, "big") != link.pq.backend_pid,
            utf8=link.pq.parameter_status(b"server_encoding") in {b"UTF8", b"SQL_ASCII"},
        )

    def _forget(self) -> None:
        """Close all connections that are not in use."""
        for _ in range(len(self._free)):
            with suppress(IndexError):
                slot = self._free.popleft()
                slot.clear()
                self._give_back(slot)

    def _take(self) -> _Slot:
        try:
            return self._free.pop()
        except IndexError:
            return self._new() or self._wait_for_one()

    def _new(self) -> _Slot | None:
        with self._lock:
            if len(self._slots) >= self._target.max_connections:
                return None
            slot = _Slot()
            self._slots.add(slot)
            return slot

    def _give_back(self, slot: _Slot) -> None:
        if self._closed:
            slot.clear()
        self._free.append(slot)
        if self._waiting:
            with self._lock:
                self._given_back.notify()

    def _wait_for_one(self) -> _Slot:
        seconds = seconds_left(self._target.timeout)
        until = time.monotonic() + seconds
        with self._lock:
            self._waiting += 1
            try:
                while time.monotonic() < until:
                    self._given_back.wait(TURN)
                    with suppress(IndexError):
                        return self._free.pop()
                    if (slot := self._new()) is not None:
                        return slot
            finally:
                self._waiting -= 1
        raise Unavailable(
            f"all {self._target.max_connections} connections stayed in use for {seconds:g} s "
            "(options max_connections and timeout)"
        )
