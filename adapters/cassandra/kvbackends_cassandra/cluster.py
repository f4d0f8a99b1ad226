"""The driver's cluster object: its arguments, and where its contact points are."""

import inspect
import socket
import sys
import warnings
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

with warnings.catch_warnings():
    # The driver imports eventlet where it is installed, and eventlet warns that it is deprecated.
    warnings.simplefilter("ignore")
    from cassandra import cluster as driver
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    ExponentialReconnectionPolicy,
    TokenAwarePolicy,
)
from cassandra.query import tuple_factory

from kvbackends import ConfigurationError, InvalidOption
from kvbackends.contract import ServerAddress, seconds_left
from kvbackends_cassandra import schema
from kvbackends_cassandra.errors import CassandraUnavailable

PROFILE = "kvbackends"
PROTOCOL = 4
"""Every server since 2.2 speaks it.  Negotiating from a higher one costs two more connections, and
the checksums of version 5 cost CPU time.
"""
SHORTEST, LONGEST = 0.2, 5.0
"""Seconds between two attempts to reach a lost node: at first, and at most."""


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


def check_arguments(given: Collection[str]) -> None:
    """Raise `InvalidOption` for a name that the driver's `Cluster` does not have."""
    known = inspect.signature(driver.Cluster.__init__).parameters
    if unknown := sorted(set(given) - known.keys()):
        raise InvalidOption(
            f"cassandra_options: the driver's Cluster has no argument {', '.join(unknown)}"
        )


def addresses(arguments: Mapping[str, Any]) -> set[str]:
    """The addresses that the contact points have now, as far as they can be resolved."""
    found = set()
    for point in arguments.get("contact_points", ()):
        with suppress(OSError):
            name = point if isinstance(point, str) else point[0]
            found |= {str(each[4][0]) for each in socket.getaddrinfo(name, None)}
    return found


def server(arguments: Mapping[str, Any]) -> ServerAddress | None:
    """The first of the contact points; None for a bundle and for what only the driver knows."""
    point = next(iter(arguments.get("contact_points", ())), None)
    host, port = (point, arguments.get("port")) if isinstance(point, str) else (point or ("", 0))
    tls = bool(arguments.get("ssl_context") or arguments.get("ssl_options"))
    return ServerAddress(host, port, tls) if host and port else None


def opened(plan: Plan) -> Any:
    """The driver's cluster, not yet connected.

    Raises `ConfigurationError` for arguments that it does not accept.
    """
    arguments = _arguments(plan)
    points = arguments.get("contact_points", [None])
    share = seconds_left() / len(points)  # they are tried in turn
    arguments["connect_timeout"] = min(arguments["connect_timeout"], share)
    try:
        return driver.Cluster(**arguments)
    except driver.UnresolvableContactPoints as error:
        for point in points:
            socket.getaddrinfo(point if isinstance(point, str) else point[0], None)  # tells why
        raise CassandraUnavailable("Cassandra: no contact point could be resolved") from error
    except (TypeError, ValueError, FileNotFoundError) as error:
        raise ConfigurationError(f"the Cassandra driver does not accept this: {error}") from None


def keep_open_at_exit(cluster: Any) -> None:
    """Keep the driver from closing the connections of a cluster when the process ends."""
    forget = getattr(driver, "_discard_cluster_shutdown", None)
    if forget is not None:
        forget(cluster)


def _arguments(plan: Plan) -> dict[str, Any]:
    """Arguments of the driver's `Cluster`; those of the user override the adapter's."""
    own: dict[str, Any] = {
        "connection_class": _connection_class(),
        # Otherwise small packets wait for the server's delayed acknowledgements.
        "sockopts": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        "reconnection_policy": ExponentialReconnectionPolicy(SHORTEST, LONGEST, max_attempts=None),
        "protocol_version": PROTOCOL,
        # A connection that is half open is noticed after the sum of these.
        "idle_heartbeat_interval": 5,
        "idle_heartbeat_timeout": 5,
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
        from kvbackends_cassandra.libev import Connection
    except Exception:  # noqa: BLE001 - a driver built without libev raises various exceptions
        return driver.DefaultConnection  # type: ignore[no-any-return]
    return Connection
