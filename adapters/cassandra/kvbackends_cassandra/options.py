"""The options of a ``cassandra://`` URL, and the driver's arguments that they become."""

import re
from typing import Annotated, Any, Literal

import cassandra.auth
from cassandra import ConsistencyLevel

from kvbackends import ConfigurationError, InvalidOption
from kvbackends.contract import Options, StoreURL, option

Level = Literal[
    "ANY",
    "ONE",
    "TWO",
    "THREE",
    "QUORUM",
    "ALL",
    "LOCAL_QUORUM",
    "EACH_QUORUM",
    "LOCAL_ONE",
]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
"""Cassandra allows 48 characters; eight are reserved for the suffix of a table's name."""


class CassandraOptions(Options, frozen=True, kw_only=True):
    """Options of a ``cassandra://`` URL."""

    servers: Annotated[
        str | list[str] | None,
        option(
            "Contact points, separated by commas, if the URL names none.",
            setting="cassandra_servers",
        ),
    ] = None
    port: Annotated[
        int,
        option("Port of contact points without a port of their own.", setting="cassandra_port"),
    ] = 9042
    keyspace: Annotated[
        str | None,
        option("The keyspace, if the URL's path names none.", setting="cassandra_keyspace"),
    ] = None
    table: Annotated[
        str,
        option(
            "Prefix of the tables <table>_kv and <table>_barriers; Celery's own table is not used.",
            setting="cassandra_table",
        ),
    ] = "celery"
    read_consistency: Annotated[
        Level,
        option(
            "Consistency level of reads: how many replicas have to answer.",
            setting="cassandra_read_consistency",
        ),
    ] = "LOCAL_QUORUM"
    write_consistency: Annotated[
        Level,
        option(
            "Consistency level of writes: how many replicas have to confirm.",
            setting="cassandra_write_consistency",
        ),
    ] = "LOCAL_QUORUM"
    serial_consistency: Annotated[
        Literal["SERIAL", "LOCAL_SERIAL"] | None,
        option(
            "Consistency level of lightweight transactions: all data centers, or the local one.  "
            "By default LOCAL_SERIAL if the levels of reads and writes are both local, else SERIAL."
        ),
    ] = None
    entry_ttl: Annotated[
        float | None,
        option(
            "Seconds that a result is kept; overrides result_expires.",
            setting="cassandra_entry_ttl",
        ),
    ] = None
    auth_provider: Annotated[
        str | None,
        option(
            "Name of a class in cassandra.auth; it replaces the URL's user and password.",
            setting="cassandra_auth_provider",
        ),
    ] = None
    auth_kwargs: Annotated[
        dict[str, Any] | None,
        option(
            "Arguments for auth_provider's class.", setting="cassandra_auth_kwargs", secret=True
        ),
    ] = None
    driver: Annotated[
        dict[str, Any] | None,
        option("More arguments for cassandra.cluster.Cluster.", setting="cassandra_options"),
    ] = None
    secure_bundle_path: Annotated[
        str | None,
        option("Path of an Astra secure connect bundle.", setting="cassandra_secure_bundle_path"),
    ] = None
    bundle_path: Annotated[
        str | None,
        option("Another name of secure_bundle_path.", setting="cassandra_bundle_path"),
    ] = None
    local_dc: Annotated[
        str, option("The data center to send requests to; by default that of the contact points.")
    ] = ""
    create: Annotated[bool, option("Create the keyspace and the tables if they do not exist.")] = (
        True
    )
    replication: Annotated[
        int,
        option(
            "Replicas in each data center, in a keyspace that the adapter creates; 0 means three, "
            "or one for each node if there are fewer."
        ),
    ] = 0
    connect_timeout: Annotated[float, option("Seconds to wait for a connection to a node.")] = 5.0
    timeout: Annotated[float, option("Seconds to wait for the answer to a request.")] = 6.0
    value_bytes: Annotated[
        int,
        option(
            "Largest value in bytes.  The server's limit is somewhat below half of its "
            "commitlog_segment_size."
        ),
    ] = 1_500_000


def keyspace(url: StoreURL, options: CassandraOptions) -> str:
    """The keyspace's name.

    Raises `ConfigurationError` if there is none, or if it is not a plain name: it becomes a part of
    statements.
    """
    name = url.path or options.keyspace
    if not name:
        raise ConfigurationError(
            "this URL names no keyspace; expected cassandra://host1,host2/keyspace, or the setting "
            "cassandra_keyspace"
        )
    return _plain("keyspace", name)


def table(options: CassandraOptions) -> str:
    """The prefix of the tables' names.  Raises `InvalidOption` if it is not a plain name."""
    return _plain("table", options.table)


def _plain(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidOption(
            f"{what} {name!r}: expected a letter, then at most 39 letters, digits or _"
        )
    return name


def check(options: CassandraOptions) -> None:
    """Raise `InvalidOption` for a number out of range, or a level that reads do not have."""
    for name in ("connect_timeout", "timeout", "value_bytes", "port", "entry_ttl"):
        number = getattr(options, name)
        if number is not None and number <= 0:
            raise InvalidOption(f"option {name!r}: expected a number above zero")
    if options.read_consistency in ("ANY", "EACH_QUORUM"):
        raise InvalidOption(
            f"option 'read_consistency': {options.read_consistency} exists for writes only"
        )
    if options.replication < 0:
        raise InvalidOption("option 'replication': expected a number of replicas, or 0")


def contact(url: StoreURL, options: CassandraOptions) -> dict[str, Any]:
    """The contact points, as arguments of the driver's `Cluster`.

    Raises `ConfigurationError` if there are none, or both servers and a bundle.
    """
    bundle = options.secure_bundle_path or options.bundle_path
    points = _points(url, options)
    if bundle and points:
        raise ConfigurationError(
            "Cassandra: give either servers or a secure connect bundle, which names its own servers"
        )
    if bundle:
        return {"cloud": {"secure_connect_bundle": bundle}}
    if not points:
        raise ConfigurationError(
            "this URL names no Cassandra servers; expected cassandra://host1,host2/keyspace, or "
            "one of the settings cassandra_servers and cassandra_secure_bundle_path"
        )
    return {"contact_points": points, "port": options.port}


def _points(url: StoreURL, options: CassandraOptions) -> list[str | tuple[str, int]]:
    if url.hosts:
        return [host.name if host.port is None else (host.name, host.port) for host in url.hosts]
    listed = options.servers or []
    return [_point(each) for each in (listed.split(",") if isinstance(listed, str) else listed)]


def _point(text: str) -> str | tuple[str, int]:
    """A contact point as ``host``, ``host:port``, ``[address]:port`` or a bare IPv6 address."""
    name, colon, port = text.strip().rpartition(":")
    if not (colon and port.isdecimal()) or (":" in name and not name.endswith("]")):
        return text.strip().strip("[]")
    return name.strip("[]"), int(port)


def credentials(url: StoreURL, options: CassandraOptions) -> cassandra.auth.AuthProvider | None:
    """The provider that the settings name, else one with the URL's user, else None."""
    if options.auth_provider:
        kind = getattr(cassandra.auth, options.auth_provider, None)
        if not (isinstance(kind, type) and issubclass(kind, cassandra.auth.AuthProvider)):
            raise InvalidOption(
                f"option 'auth_provider': cassandra.auth has no provider {options.auth_provider!r}"
            )
        return kind(**(options.auth_kwargs or {}))
    if url.username is None:
        return None
    password = url.password.reveal() if url.password is not None else ""
    return cassandra.auth.PlainTextAuthProvider(url.username, password)


def level(name: str) -> int:
    """The driver's number for a consistency level."""
    return int(getattr(ConsistencyLevel, name))


def serial(options: CassandraOptions) -> int:
    """The serial consistency level of lightweight transactions, as the driver's number."""
    levels = options.read_consistency, options.write_consistency
    local = all(each.startswith("LOCAL_") for each in levels)
    return level(options.serial_consistency or ("LOCAL_SERIAL" if local else "SERIAL"))
