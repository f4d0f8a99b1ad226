"""The options of a ``postgresql://`` URL and Celery's settings, as arguments of libpq."""

import math
import random
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote_plus

import msgspec
from psycopg import Error
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from kvbackends import ConfigurationError, InvalidOption
from kvbackends.contract import Options, StoreURL, check_files, option
from kvbackends_postgresql.names import Names

_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "service_file")
_NO_FILES = ("system", "")
"""Values of ``sslrootcert`` that are no files."""
_DEFAULTS = {
    "client_encoding": "UTF8",
    "fallback_application_name": "kvbackends",
    # libpq's own are those of the kernel, two hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
CONNECT_TIMEOUT = 5.0
"""Seconds, unless the URL says otherwise: libpq would wait without limit."""


class PostgreSQLOptions(Options, frozen=True, kw_only=True):
    """Options of a ``postgresql://`` URL.  All others go to libpq."""

    extra: ClassVar[Literal["refuse", "driver"]] = "driver"

    table: Annotated[
        str,
        msgspec.Meta(max_length=40),
        option("What the names of all tables begin with; by default kvbackends."),
    ] = ""
    schema: Annotated[
        str,
        msgspec.Meta(max_length=63),
        option("Schema of the tables; by default the first one of the search path."),
    ] = ""
    unlogged: Annotated[
        bool,
        option("Make unlogged tables: writes are faster, and a crash of the server loses all."),
    ] = False
    prepare: Annotated[
        bool,
        option("Use named prepared statements, unless a pooler between does not support them."),
    ] = True
    listen: Annotated[
        str,
        option(
            "Where the URL leads to a pooler: host:port/database of the server itself, where "
            "waiters listen as the same user; without it they read again and again."
        ),
    ] = ""
    timeout: Annotated[
        float,
        msgspec.Meta(gt=0),
        option("Seconds to wait for an answer, or for a free connection."),
    ] = 5.0
    max_connections: Annotated[
        int, msgspec.Meta(gt=0), option("Most connections of a process; further calls wait.")
    ] = 10
    max_idle: Annotated[
        float,
        msgspec.Meta(gt=0),
        option("Seconds after which a connection that was not used is replaced."),
    ] = 120.0
    engine_options: Annotated[
        dict[str, Any],
        option(
            "SQLAlchemy's options, of which pool_size, max_overflow, pool_timeout, pool_recycle "
            "and connect_args have a meaning here.",
            setting="database_engine_options",
            secret=True,
        ),
    ] = msgspec.field(default_factory=dict)
    table_names: Annotated[
        dict[str, str],
        option(
            "Celery's names of tables: the tables' names begin with that of the task's and _kv.",
            setting="database_table_names",
        ),
    ] = msgspec.field(default_factory=dict)
    table_schemas: Annotated[
        dict[str, str],
        option("Celery's schemas: the task's is used.", setting="database_table_schemas"),
    ] = msgspec.field(default_factory=dict)
    driver_options: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Target:
    """The servers, how to reach them, and the tables."""

    parameters: Mapping[str, str]
    """Of libpq; may have a password."""
    names: Names
    connect_timeout: float
    timeout: float
    max_connections: int
    max_idle: float
    prepare: bool
    listening: "Target | None" = None
    """The server itself, if the other parameters lead to a pooler."""

    def __repr__(self) -> str:
        return f"<{self.names.prefix}>"

    def attempts(self) -> Iterator[bytes]:
        """Connection strings, one for each address, in the order in which to try them.

        Raises `OSError` for a host that is not found.  Names are looked up here because libpq would
        block a whole event loop of gevent or eventlet, and because each address has its own time.
        """
        if "host" not in self.parameters or "hostaddr" in self.parameters:
            yield make_conninfo(**self.parameters).encode()
            return
        for host, port in self._servers():
            for address in _addresses(host, port):
                one = {**self.parameters, "host": host, "port": port, **address}
                yield make_conninfo(**one).encode()

    def _servers(self) -> list[tuple[str, str]]:
        hosts = self.parameters["host"].split(",")
        ports = self.parameters.get("port", "5432").split(",")
        every = ports if len(ports) > 1 else ports * len(hosts)
        servers = [(host, port or "5432") for host, port in zip(hosts, every, strict=True)]
        if self.parameters.get("load_balance_hosts") == "random":
            random.shuffle(servers)
        return servers


def target(url: StoreURL, options: PostgreSQLOptions) -> Target:
    """Combine the URL, its options and Celery's settings.

    Raises `InvalidOption` or `ConfigurationError` for what libpq would not accept.
    """
    engine = options.engine_options
    parameters = _DEFAULTS | _parsed(_uri(url, options)) | _arguments(engine)
    timeout = parameters.pop("connect_timeout", str(CONNECT_TIMEOUT))
    check_files({n: parameters[n] for n in _FILES if parameters.get(n, "") not in _NO_FILES})
    servers = parameters.get("host", "").split(",")
    if len(servers) > 1:
        parameters.setdefault("target_session_attrs", "read-write")
        if len(parameters.get("port", "").split(",")) not in {1, len(servers)}:
            raise InvalidOption("option 'port': expected one port, or one for each host")
    most = engine.get("pool_size")
    found = Target(
        parameters=parameters,
        names=_names(options),
        connect_timeout=float(timeout) if float(timeout) > 0 else math.inf,
        timeout=float(engine.get("pool_timeout", options.timeout)),
        max_connections=options.max_connections
        if not most
        else int(most) + int(engine.get("max_overflow", 10)),
        max_idle=_idle(engine, options),
        prepare=options.prepare,
    )
    return replace(found, listening=_listening(found, options.listen))


def _listening(pooler: Target, listen: str) -> Target | None:
    if not listen:
        return None
    url = StoreURL.parse(listen if "://" in listen else f"postgresql://{listen}")
    if not url.hosts or url.username or url.password or url.query:
        raise InvalidOption(
            "option 'listen': expected host:port/database; user, password and options are the URL's"
        )
    where = {
        "host": ",".join(host.name for host in url.hosts),
        "port": ",".join(str(host.port or 5432) for host in url.hosts),
        **({"dbname": url.path} if url.path else {}),
    }
    return replace(pooler, parameters={**pooler.parameters, **where})


def _idle(engine: Mapping[str, Any], options: PostgreSQLOptions) -> float:
    recycled = float(engine.get("pool_recycle", -1))
    return recycled if recycled > 0 else options.max_idle


def _names(options: PostgreSQLOptions) -> Names:
    task = options.table_names.get("task")
    return Names(
        table=options.table or (f"{task}_kv" if task else "kvbackends"),
        schema=options.schema or options.table_schemas.get("task", ""),
        unlogged=options.unlogged,
    )


def _arguments(engine: Mapping[str, Any]) -> dict[str, str]:
    """The arguments of SQLAlchemy's driver that libpq has, too."""
    given = engine.get("connect_args") or {}
    named = {name: str(value) for name, value in given.items() if value is not None}
    try:
        conninfo_to_dict("", **named)
    except Error:
        raise InvalidOption(
            "database_engine_options: connect_args may have libpq's options only"
        ) from None
    return named


def _uri(url: StoreURL, options: PostgreSQLOptions) -> str:
    """The URL for libpq: with its own scheme, and without our options."""
    before, _, query = url.raw.reveal().partition("?")
    rest = before.partition("://")[2]
    kept = [
        pair
        for pair in query.split("&")
        if unquote_plus(pair.partition("=")[0]) in options.driver_options
    ]
    return f"postgresql://{rest}{'?' if kept else ''}{'&'.join(kept)}"


def _parsed(uri: str) -> dict[str, str]:
    try:
        found = conninfo_to_dict(uri)
    except Error as error:  # may quote a password
        raise _malformed(error) from None
    return {name: str(value) for name, value in found.items() if value is not None}


def _malformed(error: Error) -> ConfigurationError:
    words = str(error).strip()
    if words.startswith("invalid URI query parameter"):  # names the parameter alone
        return InvalidOption(f"libpq: {words}; it is an option neither of kvbackends nor of libpq")
    return ConfigurationError(
        "libpq does not accept this URL; expected postgresql://user:password@host:5432,host2:5432/"
        "database?option=value, with user and password percent-encoded"
    )


def _addresses(host: str, port: str) -> list[dict[str, str]]:
    if not host or host.startswith(("/", "@")):  # a Unix socket
        return [{}]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [{"hostaddr": each} for each in dict.fromkeys(str(one[4][0]) for one in found)]
