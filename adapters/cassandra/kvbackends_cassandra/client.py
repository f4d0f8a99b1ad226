"""One process's session with the cluster: prepared statements, pages, uncertain outcomes."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from cassandra import InvalidRequest
from cassandra.query import PreparedStatement

from kvbackends import ConfigurationError
from kvbackends.contract import seconds_left, uninterrupted
from kvbackends_cassandra import schema
from kvbackends_cassandra.cluster import (
    PROFILE,
    SHORTEST,
    Plan,
    addresses,
    keep_open_at_exit,
    opened,
)
from kvbackends_cassandra.errors import DRIVERS, CassandraUnavailable, Translating, is_ambiguous
from kvbackends_cassandra.versions import includes

CONCURRENT = 32
"""Most requests that one call has in flight."""
Row = tuple[Any, ...]


class Decision(NamedTuple):
    """The answer to a lightweight transaction."""

    applied: bool
    found: dict[str, Any]
    """If it was not applied: the stored values of the columns in its condition."""


class Client:
    """A session with its prepared statements.  Raises the exceptions of `errors`."""

    @uninterrupted
    def __init__(self, plan: Plan, forget: Callable[[], None] = lambda: None) -> None:
        self._plan = plan
        self._forget = forget
        self._prepared: dict[str, PreparedStatement] = {}
        self._translating = Translating(self._look_again)
        with Translating():
            self._cluster = opened(plan)
        try:
            with Translating():
                self._session = self._cluster.connect()
                schema.ensure(self._session, self._cluster, plan.tables)
        except BaseException:
            self.close()
            raise
        self._cluster.connect_timeout = plan.cluster["connect_timeout"]

    @uninterrupted
    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of an answer that fits into one page."""
        with self._translating:
            rows: list[Row] = self._send(statement, values).current_rows
        return rows

    def stream(
        self,
        statement: str,
        values: Sequence[Any],
        first: int,
        later: Callable[[list[Row]], int],
    ) -> Iterator[list[Row]]:
        """The pages of a large answer.

        The first page has `first` rows; ``later(page)`` returns the number of rows of the next one.
        """
        state, page = None, first
        while True:
            answer = self._page(statement, values, page, state)
            yield answer.current_rows
            state, page = answer.paging_state, later(answer.current_rows)
            if state is None:
                return

    def all_rows(self, statement: str, many: Iterable[Sequence[Any]]) -> Iterator[list[Row]]:
        """The rows for each of `many` values of one statement, in this order.

        Up to `CONCURRENT` requests are in flight at a time.
        """
        pending: list[Any] = []
        for values in many:
            if len(pending) == CONCURRENT:
                yield _rows(pending.pop(0))
            pending.append(self._begin(statement, values))
        while pending:
            yield _rows(pending.pop(0))

    @uninterrupted
    def decide(self, statement: str, values: Sequence[Any], mine: bytes) -> Decision:
        """Run a lightweight transaction that writes the version `mine`.

        While its outcome is unknown it is sent again, for at most the timeout.  It counts as
        applied if the row's version is `mine`, or names it as a predecessor.
        """
        deadline = time.monotonic() + self._left()
        pause = 0.002
        with self._translating:
            while True:
                try:
                    return _decision(self._send(statement, values), mine)
                except DRIVERS as error:
                    if not is_ambiguous(error) or time.monotonic() > deadline:
                        raise
                time.sleep(random.uniform(0, pause))
                pause *= 2

    @uninterrupted
    def close(self) -> None:
        """Close the connections and end the driver's threads."""
        self._cluster.shutdown()

    def abandon(self) -> None:
        """In a forked child: keep the driver from closing the parent's connections at exit."""
        keep_open_at_exit(self._cluster)

    @uninterrupted
    def _page(self, statement: str, values: Sequence[Any], size: int, state: Any) -> Any:
        with self._translating:
            bound = self._statement(statement).bind(values)
            bound.fetch_size = size
            return self._session.execute(
                bound, timeout=self._left(), execution_profile=PROFILE, paging_state=state
            )

    @uninterrupted
    def _begin(self, statement: str, values: Sequence[Any]) -> Any:
        with self._translating:
            prepared = self._statement(statement)
            return self._session.execute_async(
                prepared, values, timeout=self._left(), execution_profile=PROFILE
            )

    def _send(self, statement: str, values: Sequence[Any]) -> Any:
        prepared = self._prepared.get(statement) or self._statement(statement)
        return self._session.execute(
            prepared, values, timeout=self._left(), execution_profile=PROFILE
        )

    def _left(self) -> float:
        return seconds_left(self._plan.timeout)

    def _look_again(self) -> None:
        """Give the session up if the names of the contact points have other addresses now.

        The driver resolves them once, and goes on with these addresses for ever.
        """
        before = {each.address for each in self._cluster.endpoints_resolved}
        now = addresses(self._plan.cluster)
        if now and now != before:
            self._forget()

    def _statement(self, statement: str) -> PreparedStatement:
        prepared = self._prepared.get(statement)
        if prepared is None:
            # The timeout of `prepare`: the public setter refuses to work beside profiles.
            self._session._default_timeout = self._left()  # noqa: SLF001
            try:
                prepared = self._session.prepare(self._plan.tables.named(statement))
            except InvalidRequest as error:
                raise ConfigurationError(self._plan.tables.missing(error)) from error
            reads = statement.startswith("SELECT")
            prepared.consistency_level = self._plan.read_level if reads else self._plan.write_level
            prepared.serial_consistency_level = self._plan.serial_level
            self._prepared[statement] = prepared
        return prepared


class Connecting:
    """Makes clients.

    After a failed attempt, threads that queued for it get the same error at once: otherwise each
    one would wait for the connect timeout in turn.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.forget: Callable[[], None] = lambda: None
        """Makes the process connect anew."""
        self._failed: tuple[float, CassandraUnavailable] | None = None

    def __call__(self) -> Client:
        """A connected client.  Raises `CassandraUnavailable` if no node answers."""
        if self._failed is not None and time.monotonic() < self._failed[0]:
            error = self._failed[1]  # raised anew: each raise lengthens its traceback
            raise CassandraUnavailable(str(error)) from error.__cause__
        try:
            return Client(self._plan, self.forget)
        except CassandraUnavailable as error:
            self._failed = time.monotonic() + SHORTEST, error
            raise


@uninterrupted
def _rows(future: Any) -> list[Row]:
    """The rows of a request that was begun before."""
    with Translating():
        rows: list[Row] = future.result().current_rows
    return rows


def _decision(answer: Any, mine: bytes) -> Decision:
    row = answer.current_rows[0]
    if row[0]:
        return Decision(applied=True, found={})
    found = dict(zip(answer.column_names, row, strict=True))
    return Decision(includes(found.get("version"), mine), found)
