"""One connection, by libpq's own functions.

psycopg's cursors are not used: a cursor's `execute` costs more than the request itself, waits
without a limit of time, and would send a cancellation where a connection is better closed.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from psycopg import Error, pq
from psycopg.pq import ConnStatus, ExecStatus

from kvbackends.contract import seconds_left
from kvbackends_postgresql.connecting import READ, WRITE, connected, ready
from kvbackends_postgresql.errors import Unavailable, lost, of_result
from kvbackends_postgresql.options import Target

Value = bytes | int | float | str | None
Row = tuple[Any, ...]

_BINARY = 1
_FAILED = (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE, ExecStatus.NONFATAL_ERROR)


class Statement(NamedTuple):
    """A statement and the name under which a connection prepares it; without one it does not."""

    text: bytes
    name: bytes


class Link:
    """A connection of one thread at a time.  It is closed after any exception in the middle."""

    def __init__(self, connection: Any, timeout: float) -> None:
        self.pq = connection
        self.used = time.monotonic()
        self._timeout = timeout
        self._seen: dict[bytes, int] = {}
        """How often a statement was used here; from the second time it is prepared."""

    @classmethod
    def opened(cls, target: Target) -> "Link":
        """Connect to the first server that answers.

        Raises `Unavailable`, or `ConfigurationError` if every server refuses for good.
        """
        errors: list[Exception] = []
        try:
            for conninfo in target.attempts():
                try:
                    return cls(connected(conninfo, target), target.timeout)
                except Exception as error:  # noqa: BLE001 - the next server may answer
                    errors.append(error)
        except OSError as error:
            errors.append(error)
        raise _worst(errors)

    def ask(self, statement: Statement, values: Sequence[Value], *, prepare: bool) -> list[Row]:
        """The rows of a statement's answer; their columns are in the binary format.

        Raises the error that the server answers; the connection may be used again then.
        """
        sent = [_text(value) for value in values]
        formats = [int(isinstance(value, bytes)) for value in values]
        try:
            if not prepare or not statement.name or not self._is_prepared(statement):
                self.pq.send_query_params(statement.text, sent, None, formats, _BINARY)
            else:
                self.pq.send_query_prepared(statement.name, sent, formats, _BINARY)
            return _rows(self._results())
        except Error as error:
            raise lost(error) from error

    def run(self, script: str) -> list[Row]:
        """Run several statements as one transaction; the rows of the last, as text."""
        try:
            self.pq.send_query(script.encode())
            return _rows(self._results())
        except Error as error:
            raise lost(error) from error

    def drain(self) -> None:
        """Read the rest of an outstanding answer, and drop it."""
        try:
            self._results()
        except Error as error:
            raise lost(error) from error

    def usable(self) -> bool:
        """True if the connection is open and nothing is outstanding."""
        idle = pq.TransactionStatus.IDLE
        return bool(self.pq.status == ConnStatus.OK and self.pq.transaction_status == idle)

    def fileno(self) -> int:
        """The file to select on; raises `Unavailable` if the connection is closed."""
        try:
            return int(self.pq.socket)
        except Error as error:
            raise Unavailable("PostgreSQL: the connection is closed") from error

    def close(self) -> None:
        """Close the connection."""
        self.pq.finish()

    def abandon(self) -> None:
        """Close a forked child's copy of the socket; the parent's connection stays open."""
        with suppress(Error, OSError):
            os.close(self.pq.socket)

    def _is_prepared(self, statement: Statement) -> bool:
        """Prepare the statement at its second use; the first one saves a round trip."""
        uses = self._seen[statement.name] = self._seen.get(statement.name, 0) + 1
        if uses == 2:
            self.pq.send_prepare(statement.name, statement.text)
            self._seen[statement.name] = 0
            _rows(self._results())
            self._seen[statement.name] = uses
        return uses > 1

    def _results(self) -> list[Any]:
        while self.pq.flush() and self._wait(READ | WRITE):
            self.pq.consume_input()
        results: list[Any] = []
        while True:
            while self.pq.is_busy():
                self._wait(READ)
                self.pq.consume_input()
            result = self.pq.get_result()
            if result is None:
                break
            results.append(result)
        self.used = time.monotonic()
        return results

    def _wait(self, what: int) -> bool:
        seconds = seconds_left(self._timeout)
        if not ready(self.pq.socket, what, seconds):
            raise Unavailable(f"PostgreSQL did not answer within {seconds:.1f} s")
        return True


def _worst(errors: list[Exception]) -> Exception:
    """The error to raise after all servers: a transient one, if there is one."""
    for error in errors:
        if isinstance(error, Unavailable):
            return error
    error = errors[-1]
    if isinstance(error, OSError):
        found = Unavailable(f"PostgreSQL: {error}")
        found.__cause__ = error
        return found
    return error


def _text(value: Value) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else str(value).encode()


def _rows(results: list[Any]) -> list[Row]:
    """The rows of the last result; raises the first error among them."""
    for each in results:
        if each.status in _FAILED:
            raise of_result(each)
    if not results:
        raise Unavailable("PostgreSQL: the connection is lost")
    result = results[-1]
    get, columns = result.get_value, range(result.nfields)
    return [tuple(get(row, column) for column in columns) for row in range(result.ntuples)]
