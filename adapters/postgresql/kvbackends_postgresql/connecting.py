"""Connecting by libpq, without blocking, and what a server that refuses says."""

import math
import os
import re
import select
import time
from contextlib import suppress
from typing import Any

from psycopg import Error, NotSupportedError, OperationalError, pq
from psycopg.pq import ConnStatus, PollingStatus

from kvbackends.contract import deadline, delays_forks
from kvbackends_postgresql.errors import Unavailable, of_connecting, refused_in_words
from kvbackends_postgresql.options import Target

READ, WRITE = 1, 2
_WANTED = {PollingStatus.READING: READ, PollingStatus.WRITING: WRITE}

_STATES: dict[str, str] = {}
"""The SQLSTATE that stands for a text: it depends on nothing but the server's language."""
_MOST_STATES = 100
_STATE = re.compile(rb'ErrorResponse\b[^\n]*? C "(\w{5})"')


class _Answered(OperationalError):
    """Connecting failed after something had answered."""


def connected(conninfo: bytes, target: Target) -> Any:
    """A connection of libpq to one server.

    Raises `Unavailable`, or `ConfigurationError` if the server refuses for good.
    """
    until = min(time.monotonic() + target.connect_timeout, deadline.get())
    try:
        connection = _attempt(conninfo, until)
    except Error as error:
        words, state = str(error), ""
        if isinstance(error, _Answered) and not refused_in_words(words):
            state = _state(conninfo, words, until)
        raise of_connecting(words, state) from error
    connection.nonblocking = 1
    return connection


def ready(file: int, what: int, seconds: float) -> bool:
    """Wait until a file can be read or written; False if it cannot within `seconds`.

    `select` is looked up at each call, because gevent and eventlet replace it.
    """
    reads, writes = ([file] if what & READ else []), ([file] if what & WRITE else [])
    try:
        return any(select.select(reads, writes, [], seconds))
    except ValueError:  # a descriptor above 1023
        poll = select.poll()
        poll.register(file, (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0))
        return bool(poll.poll(seconds * 1000))


def _attempt(conninfo: bytes, until: float, trace: int | None = None) -> Any:
    connection = None
    try:
        with delays_forks:  # libpq performs the handshake of TLS
            connection = pq.PGconn.connect_start(conninfo)
            if trace is not None:
                connection.trace(trace)
            _finish(connection, until)
            connection.untrace()
    except BaseException:
        if connection is not None:
            connection.untrace()  # writes out what is in its buffer
            connection.finish()
        raise
    return connection


def _finish(connection: Any, until: float) -> None:
    state = PollingStatus.WRITING if connection.status != ConnStatus.BAD else PollingStatus.FAILED
    answered = False
    while state in _WANTED:
        left = until - time.monotonic()
        longest = None if left == math.inf else left
        if left <= 0 or not ready(connection.socket, _WANTED[state], longest or 3600.0):
            raise Unavailable("PostgreSQL: the server did not accept a connection in time")
        answered = answered or state == PollingStatus.READING
        state = connection.connect_poll()
    if state == PollingStatus.FAILED or connection.status != ConnStatus.OK:
        raise (_Answered if answered else OperationalError)(connection.get_error_message())


def _state(conninfo: bytes, words: str, until: float) -> str:
    """The SQLSTATE of the server's refusal; empty if there is none.

    Of a failed connection libpq tells the message alone, in the server's language.  Its trace has
    all fields, so the connection is tried once more with one, which stays in memory.  Once for each
    text: the trace's `FILE` is never freed.
    """
    if words not in _STATES:
        with suppress(NotSupportedError):  # on other systems than Linux
            if len(_STATES) >= _MOST_STATES:
                _STATES.clear()
            _STATES[words] = _traced(conninfo, until)
    return _STATES.get(words, "")


def _traced(conninfo: bytes, until: float) -> str:
    trace = os.memfd_create("kvbackends")
    try:
        with suppress(Error, Unavailable):
            _attempt(conninfo, until, trace).finish()
        found = _STATE.search(os.pread(trace, 1 << 20, 0))
        return found[1].decode() if found else ""
    finally:
        os.close(trace)
