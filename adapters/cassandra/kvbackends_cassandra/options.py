"""What a ``cassandra://`` URL and Celery's ``cassandra_*`` settings say, as the driver takes it."""

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
"""Cassandra: 48 letters at most; eight are for what is appended to a table's name."""


class CassandraOptions(Options, frozen=True, kw_only=True):
    """Options of a ``cassandra://`` URL."""

    servers: Annotated[
        str | list[str] | None,
        option(
            "Contact points where the URL names none, separated by commas.",
            setting="cassandra_servers",
        ),
    ] = None
    port: Annotated[
        int, option("Port of contact points without one.", setting="cassandra_port")
    ] = 9042
    keyspace: Annotated[
        str | None,
        option("The keyspace, if it is not the URL's path.", setting="cassandra_keyspace"),
    ] = None
    table: Annotated[
        str,
        option(
            "The tables are <table>_kv and <table>_barriers; Celery's own table is not touched.",
            setting="cassandra_table",
        ),
    ] = "celery"
    read_consistency: Annotated[
        Level,
        option("Replicas that answer a read.", setting="cassandra_read_consistency"),
    ] = "LOCAL_QUORUM"
    write_consistency: Annotated[
        Level,
        option("Replicas that confirm a write.", setting="cassandra_write_consistency"),
    ] = "LOCAL_QUORUM"
    serial_consistency: Annotated[
        Literal["SERIAL", "LOCAL_SERIAL"] | None,
        option(
            "Who decides races: all data centers, or the local one.  Without it: the local one "
            "where read and write consistency are local."
        ),
    ] = None
    entry_ttl: Annotated[
        float | None,
        option(
            "Seconds that a result is kept, whatever result_expires says.",
            setting="cassandra_entry_ttl",
        ),
    ] = None
    auth_provider: Annotated[
        str | None,
        option(
            "Class of cassandra.auth, for auth_kwargs; else the URL's user and password are used.",
            setting="cassandra_auth_provider",
        ),
    ] = None
    auth_kwargs: Annotated[
        dict[str, Any] | None,
        option("Arguments of auth_provider.", setting="cassandra_auth_kwargs", secret=True),
    ] = None
    driver: Annotated[
        dict[str, Any] | None,
        option("More arguments of cassandra.cluster.Cluster.", setting="cassandra_options"),
    ] = None
    secure_bundle_path: Annotated[
        str | None,
        option("Astra's secure connect bundle.", setting="cassandra_secure_bundle_path"),
    ] = None
    bundle_path: Annotated[
        str | None,
        option("Another name of secure_bundle_path.", setting="cassandra_bundle_path"),
    ] = None
    local_dc: Annotated[
        str, option("The data center to talk to; without it the contact points'.")
    ] = ""
    create: Annotated[bool, option("Make the keyspace and the tables where they do not exist.")] = (
        True
    )
    replication: Annotated[
        int,
        option("Copies in a keyspace that is made; 0: three, or one a node if there are fewer."),
    ] = 0
    connect_timeout: Annotated[float, option("Seconds to connect to a node.")] = 5.0
    timeout: Annotated[float, option("Seconds that a request may take.")] = 6.0
    value_bytes: Annotated[
        int,
        option(
            "Largest value.  The server takes half of its commitlog_segment_size, and a "
            "transaction less."
        ),
    ] = 1_500_000


def keyspace(url: StoreURL, options: CassandraOptions) -> str:
    """The keyspace's name; it goes into statements, so only plain names pass."""
    name = url.path or options.keyspace
    if not name:
        raise ConfigurationError(
            "a Cassandra URL names a keyspace, as in cassandra://host1,host2/keyspace; the setting "
            "cassandra_keyspace does, too"
        )
    return _plain("keyspace", name)


def table(options: CassandraOptions) -> str:
    """What the tables' names begin with."""
    return _plain("table", options.table)


def _plain(what: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidOption(
            f"{what} {name!r}: expected a letter, then at most 39 letters, digits or _"
        )
    return name


def check(options: CassandraOptions) -> None:
    """Raise `InvalidOption` for numbers out of range and levels that reads or writes lack."""
    for name in ("connect_timeout", "timeout", "value_bytes", "port", "entry_ttl"):
        number = getattr(options, name)
        if number is not None and number <= 0:
            raise InvalidOption(f"option {name!r}: Expected a number above zero")
    if options.read_consistency in ("ANY", "EACH_QUORUM"):
        raise InvalidOption(
            f"option 'read_consistency': {options.read_consistency} is for writes only"
        )
    if options.replication < 0:
        raise InvalidOption("option 'replication': Expected a number of copies, or 0")


def contact(url: StoreURL, options: CassandraOptions) -> dict[str, Any]:
    """Whom to connect to, as arguments of `Cluster`."""
    bundle = options.secure_bundle_path or options.bundle_path
    points = _points(url, options)
    if bundle and points:
        raise ConfigurationError(
            "Cassandra: either servers or a secure connect bundle, which names them itself"
        )
    if bundle:
        return {"cloud": {"secure_connect_bundle": bundle}}
    if not points:
        raise ConfigurationError(
            "a Cassandra URL names servers, as in cassandra://host1,host2/keyspace; the settings "
            "cassandra_servers and cassandra_secure_bundle_path do, too"
        )
    return {"contact_points": points, "port": options.port}


def _points(url: StoreURL, options: CassandraOptions) -> list[str | tuple[str, int]]:
    if url.hosts:
        return [host.name if host.port is None else (host.name, host.port) for host in url.hosts]
    listed = options.servers or []
    return [*(listed.split(",") if isinstance(listed, str) else listed)]


def credentials(url: StoreURL, options: CassandraOptions) -> cassandra.auth.AuthProvider | None:
    """Who connects: the provider of the settings, else the URL's user."""
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
    """The driver's number of a consistency level."""
    return int(getattr(ConsistencyLevel, name))


def serial(options: CassandraOptions) -> int:
    """Who decides races."""
    levels = options.read_consistency, options.write_consistency
    local = all(each.startswith("LOCAL_") for each in levels)
    return level(options.serial_consistency or ("LOCAL_SERIAL" if local else "SERIAL"))
