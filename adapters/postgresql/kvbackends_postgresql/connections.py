"""The pool of connections: a call takes one for a statement and gives it back.

Not psycopg's own pool: it connects in threads of its own, so a wrong password would be a timeout.
"""

import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from kvbackends.contract import Pool
from kvbackends_postgresql import schema
from kvbackends_postgresql.errors import Missing, Unavailable, Unprepared
from kvbackends_postgresql.link import Link, Row, Statement, Value
from kvbackends_postgresql.options import Target
from kvbackends_postgresql.statements import Statements


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


class Connections(Pool[_Slot]):
    """The connections of one process: one per concurrent call, at most `target.max_connections`."""

    def __init__(self, target: Target, statements: Statements) -> None:
        super().__init__(_Slot, target.max_connections, target.timeout, Unavailable)
        self._target = target
        self.statements = statements
        self._listening: weakref.WeakSet[Link] = weakref.WeakSet()
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
        for slot in self._alive:
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
            return self._another()

    def _give_back(self, slot: _Slot) -> None:
        if self._closed:
            slot.clear()
        self._free.append(slot)
        if self._waiting:
            self._notify()
