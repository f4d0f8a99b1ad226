"""One process's session with the cluster: prepared statements, pages, uncertain outcomes."""

import random
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

with warnings.catch_warnings():
    # The driver imports eventlet where it is installed, and eventlet warns that it is deprecated.
    warnings.simplefilter("ignore")
    from cassandra import cluster as driver
from cassandra import InvalidRequest
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    TokenAwarePolicy,
)
from cassandra.query import PreparedStatement, tuple_factory

from kvbackends import ConfigurationError
from kvbackends.contract import uninterrupted
from kvbackends_cassandra import schema
from kvbackends_cassandra.errors import DRIVERS, CassandraUnavailable, is_ambiguous, translating
from kvbackends_cassandra.versions import includes

PROFILE = "kvbackends"
PROTOCOL = 4
"""Every server since 2.2 speaks it.  Negotiating from a higher one costs two more connections, and
the checksums of version 5 cost CPU time.
"""
SHORTEST, LONGEST = 0.2, 5.0
"""Seconds between two attempts to reach a lost node: at first, and at most."""
CONCURRENT = 32
"""Most requests that one call has in flight."""
Row = tuple[Any, ...]


class Plan(NamedTuple):
    """The arguments of a client."""

    cluster: dict[str, Any]
    """Arguments of the driver's `Cluster`: contact points, credentials, `cassandra_options`."""
    tables: schema.Tables
    read_level: int
    write_level: int
    serial_level: int
    timeout: float
    local_dc: str


class Decision(NamedTuple):
    """The answer to a lightweight transaction."""

    applied: bool
    found: dict[str, Any]
    """If it was not applied: the stored values of the columns in its condition."""


class Client:
    """A session with its prepared statements.  Raises the exceptions of `errors`."""

    @uninterrupted
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._prepared: dict[str, PreparedStatement] = {}
        self._cluster = driver.Cluster(**_arguments(plan))
        try:
            with translating():
                self._session = self._cluster.connect()
                # The timeout of `prepare`: the public setter refuses to work beside profiles.
                self._session._default_timeout = plan.timeout  # noqa: SLF001
                schema.ensure(self._session, self._cluster, plan.tables)
        except BaseException:
            self.close()
            raise

    @uninterrupted
    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of an answer that fits into one page."""
        with translating():
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
        deadline = time.monotonic() + self._plan.timeout
        pause = 0.002
        with translating():
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
        forget = getattr(driver, "_discard_cluster_shutdown", None)
        if forget is not None:
            forget(self._cluster)

    @uninterrupted
    def _page(self, statement: str, values: Sequence[Any], size: int, state: Any) -> Any:
        with translating():
            bound = self._statement(statement).bind(values)
            bound.fetch_size = size
            return self._session.execute(bound, execution_profile=PROFILE, paging_state=state)

    @uninterrupted
    def _begin(self, statement: str, values: Sequence[Any]) -> Any:
        with translating():
            prepared = self._statement(statement)
            return self._session.execute_async(prepared, values, execution_profile=PROFILE)

    def _send(self, statement: str, values: Sequence[Any]) -> Any:
        prepared = self._prepared.get(statement) or self._statement(statement)
        return self._session.execute(prepared, values, execution_profile=PROFILE)

    def _statement(self, statement: str) -> PreparedStatement:
        prepared = self._prepared.get(statement)
        if prepared is None:
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
        self._failed: tuple[float, CassandraUnavailable] | None = None

    def __call__(self) -> Client:
        """A connected client.  Raises `CassandraUnavailable` if no node answers."""
        if self._failed is not None and time.monotonic() < self._failed[0]:
            raise self._failed[1]
        try:
            return Client(self._plan)
        except CassandraUnavailable as error:
            self._failed = time.monotonic() + SHORTEST, error
            raise


@uninterrupted
def _rows(future: Any) -> list[Row]:
    """The rows of a request that was begun before."""
    with translating():
        rows: list[Row] = future.result().current_rows
    return rows


def _decision(answer: Any, mine: bytes) -> Decision:
    row = answer.current_rows[0]
    if row[0]:
        return Decision(applied=True, found={})
    found = dict(zip(answer.column_names, row, strict=True))
    return Decision(includes(found.get("version"), mine), found)


def _arguments(plan: Plan) -> dict[str, Any]:
    """Arguments of the driver's `Cluster`; those of the user override the adapter's."""
    own: dict[str, Any] = {
        "connection_class": _connection_class(),
        # Otherwise small packets wait for the server's delayed acknowledgements.
        "sockopts": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        "reconnection_policy": ExponentialReconnectionPolicy(SHORTEST, LONGEST, max_attempts=None),
        "protocol_version": PROTOCOL,
        "idle_heartbeat_interval": 10,
    }
    given = dict(plan.cluster)
    balancing = given.pop("load_balancing_policy", None) or TokenAwarePolicy(
        DCAwareRoundRobinPolicy(plan.local_dc)
    )
    retrying = given.pop("default_retry_policy", None)
    profile = driver.ExecutionProfile(
        load_balancing_policy=balancing,
        retry_policy=retrying,
        row_factory=tuple_factory,
        request_timeout=plan.timeout,
    )
    # While connecting, the driver uses the policy of its default profile.
    profiles = {driver.EXEC_PROFILE_DEFAULT: profile, PROFILE: profile}
    profiles |= given.pop("execution_profiles", {})
    return own | given | {"execution_profiles": profiles}


def _connection_class() -> type:
    """The driver's event loop: that of gevent or eventlet if sockets are patched, else libev.

    With the asyncio loop a forked child could not connect if its parent ever had.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("socket"):
        from cassandra.io.geventreactor import GeventConnection

        return GeventConnection  # type: ignore[no-any-return]
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.is_monkey_patched("socket"):
        from cassandra.io.eventletreactor import EventletConnection

        return EventletConnection  # type: ignore[no-any-return]
    try:
        from cassandra.io.libevreactor import LibevConnection
    except Exception:  # noqa: BLE001 - a driver built without libev raises various exceptions
        return driver.DefaultConnection  # type: ignore[no-any-return]
    return LibevConnection  # type: ignore[no-any-return]
