"""One process's connection to the cluster: statements, schema, errors and uncertain outcomes."""

import random
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

with warnings.catch_warnings():
    # The driver imports eventlet wherever that is installed; what that warns of is not ours.
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
from kvbackends_cassandra import schema
from kvbackends_cassandra.errors import DRIVERS, CassandraUnavailable, is_ambiguous, translated
from kvbackends_cassandra.versions import includes

PROFILE = "kvbackends"
PROTOCOL = 4
"""Every server since 2.2 speaks it; asking for more costs two connections, and checksums CPU."""
SHORTEST, LONGEST = 0.2, 5.0
"""Seconds between two attempts to reach a node that was lost."""
CONCURRENT = 32
"""Requests that one call has under way at most."""
Row = tuple[Any, ...]


class Plan(NamedTuple):
    """What a client is made from."""

    cluster: dict[str, Any]
    """Arguments of `Cluster`: contact points, credentials, `cassandra_options`."""
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
    """Not applied: the columns that the condition names, as they are."""


class Client:
    """A session with its prepared statements."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._prepared: dict[str, PreparedStatement] = {}
        self._cluster = driver.Cluster(**_arguments(plan))
        try:
            self._session = self._cluster.connect()
            # The driver's own way to say how long to prepare a statement is closed to profiles.
            self._session._default_timeout = plan.timeout  # noqa: SLF001
            schema.ensure(self._session, self._cluster, plan.tables)
        except DRIVERS as error:
            self.close()
            raise translated(error) from error
        except BaseException:
            self.close()
            raise

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of a small answer."""
        try:
            rows: list[Row] = self._send(statement, values).current_rows
        except DRIVERS as error:
            raise translated(error) from error
        return rows

    def stream(
        self,
        statement: str,
        values: Sequence[Any],
        first: int,
        later: Callable[[list[Row]], int],
    ) -> Iterator[list[Row]]:
        """The pages of a large answer: of `first` rows, then as many as a page asks for."""
        state, page = None, first
        while True:
            try:
                bound = self._statement(statement).bind(values)
                bound.fetch_size = page
                answer = self._session.execute(bound, execution_profile=PROFILE, paging_state=state)
            except DRIVERS as error:
                raise translated(error) from error
            yield answer.current_rows
            state, page = answer.paging_state, later(answer.current_rows)
            if state is None:
                return

    def all_rows(self, statement: str, many: Iterable[Sequence[Any]]) -> Iterator[list[Row]]:
        """The answers to one statement with many values, several requests at a time, in order."""
        waiting: list[Any] = []
        try:
            prepared = self._statement(statement)
            for values in many:
                if len(waiting) == CONCURRENT:
                    yield waiting.pop(0).result().current_rows
                waiting.append(
                    self._session.execute_async(prepared, values, execution_profile=PROFILE)
                )
            while waiting:
                yield waiting.pop(0).result().current_rows
        except DRIVERS as error:
            raise translated(error) from error

    def decide(self, statement: str, values: Sequence[Any], mine: bytes) -> Decision:
        """A lightweight transaction that writes the version `mine`.

        Sent again while its outcome is unknown: whoever finds `mine` has written it before.
        """
        deadline = time.monotonic() + self._plan.timeout
        pause = 0.002
        while True:
            try:
                return _decision(self._send(statement, values), mine)
            except DRIVERS as error:
                if not is_ambiguous(error) or time.monotonic() > deadline:
                    raise translated(error) from error
            time.sleep(random.uniform(0, pause))
            pause *= 2

    def close(self) -> None:
        """Give up connections and threads."""
        self._cluster.shutdown()

    def abandon(self) -> None:
        """In a forked child: its parent's connections are not closed when it exits."""
        forget = getattr(driver, "_discard_cluster_shutdown", None)
        if forget is not None:
            forget(self._cluster)

    def _send(self, statement: str, values: Sequence[Any]) -> Any:
        prepared = self._prepared.get(statement) or self._statement(statement)
        return self._session.execute(prepared, values, execution_profile=PROFILE)

    def _statement(self, statement: str) -> PreparedStatement:
        prepared = self._prepared.get(statement)
        if prepared is None:
            try:
                prepared = self._session.prepare(self._plan.tables.named(statement))
            except InvalidRequest as error:
                raise ConfigurationError(self._plan.tables.lacking(error)) from error
            reads = statement.startswith("SELECT")
            prepared.consistency_level = self._plan.read_level if reads else self._plan.write_level
            prepared.serial_consistency_level = self._plan.serial_level
            self._prepared[statement] = prepared
        return prepared


class Connecting:
    """Makes clients; threads that waited for one that failed do not all wait as long again."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._failed: tuple[float, CassandraUnavailable] | None = None

    def __call__(self) -> Client:
        """A client; `CassandraUnavailable` if no node answers."""
        if self._failed is not None and time.monotonic() < self._failed[0]:
            raise self._failed[1]
        try:
            return Client(self._plan)
        except CassandraUnavailable as error:
            self._failed = time.monotonic() + SHORTEST, error
            raise


def _decision(answer: Any, mine: bytes) -> Decision:
    row = answer.current_rows[0]
    if row[0]:
        return Decision(applied=True, found={})
    found = dict(zip(answer.column_names, row, strict=True))
    return Decision(includes(found.get("version"), mine), found)


def _arguments(plan: Plan) -> dict[str, Any]:
    """The driver's arguments: ours, the user's over them, and one execution profile."""
    own: dict[str, Any] = {
        "connection_class": _connection_class(),
        # Without it the driver's small packets wait for the server's delayed acknowledgements.
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
    # The driver connects with the default profile's policy, too.
    profiles = {driver.EXEC_PROFILE_DEFAULT: profile, PROFILE: profile}
    profiles |= given.pop("execution_profiles", {})
    return own | given | {"execution_profiles": profiles}


def _connection_class() -> type:
    """The event loop: green where the process is, libev else.

    With asyncio's a forked child cannot connect if its parent ever did.
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
    except Exception:  # noqa: BLE001 - a driver that was built without it says so in its own ways
        return driver.DefaultConnection  # type: ignore[no-any-return]
    return LibevConnection  # type: ignore[no-any-return]
