"""Options of Redis URLs; `connecting.endpoints` turns them into redis-py's arguments."""

import importlib
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from kvbackends import InvalidOption
from kvbackends.contract import Options, option

T = TypeVar("T")

TIMEOUT = 5.0
"""Default of `socket_timeout`, in seconds."""

CELERYS_TIMEOUT = 120.0
"""Celery's default of `redis_socket_timeout`: too long to be a deliberate choice."""

_POSITIVE = msgspec.Meta(gt=0)
_SOCKET_SECONDS = msgspec.Meta(gt=0, le=365 * 86_400)  # a socket takes no infinity
_NOT_NEGATIVE = msgspec.Meta(ge=0)
_FOR_THE_CLIENT = "Only for backend.client, redis-py's own; the store uses RESP2 and bytes."


class RedisOptions(Options, frozen=True, kw_only=True):
    """Options of a Redis URL; most have redis-py's and Celery's names."""

    host: Annotated[str, option("Server, if the URL names none.", setting="redis_host")] = (
        "localhost"
    )
    port: Annotated[
        int | None,
        option("Port, if the URL names none: 6379 (Sentinels 26379).", setting="redis_port"),
    ] = None
    db: Annotated[
        int | None,
        option("Number of the database; the URL's path takes precedence.", setting="redis_db"),
    ] = None
    virtual_host: Annotated[
        str | None, option("Number of the database, under Celery's name for sockets.")
    ] = None
    username: Annotated[
        str | None, option("User, if the URL names none.", setting="redis_username")
    ] = None
    password: Annotated[
        str | None,
        option("Password, if the URL has none.", setting="redis_password", secret=True),
    ] = None
    credential_provider: Annotated[
        Any,
        option(
            "A redis.CredentialProvider, or the dotted name of its class; it replaces user and "
            "password.",
            setting="redis_backend_credential_provider",
            secret=True,
        ),
    ] = None
    socket_timeout: Annotated[
        float,
        _SOCKET_SECONDS,
        option(
            f"Maximum number of seconds to wait for an answer.  Celery's default, "
            f"{CELERYS_TIMEOUT:g}, means {TIMEOUT:g} here unless the URL has it.",
            setting="redis_socket_timeout",
        ),
    ] = TIMEOUT
    socket_connect_timeout: Annotated[
        float,
        _SOCKET_SECONDS,
        option("Maximum number of seconds to connect.", setting="redis_socket_connect_timeout"),
    ] = 5.0
    socket_keepalive: Annotated[
        bool, option("TCP keepalive.", setting="redis_socket_keepalive")
    ] = True
    socket_read_size: Annotated[
        Annotated[int, _POSITIVE] | None, option("Bytes that backend.client reads at a time.")
    ] = None
    retry_on_timeout: Annotated[
        bool,
        option(
            "Accepted without effect: a timeout is always retried (option retry).",
            setting="redis_retry_on_timeout",
        ),
    ] = False
    retry_on_error: Annotated[
        Any, option("Accepted without effect; see additional_connection_errors.")
    ] = None
    additional_connection_errors: Annotated[
        Any,
        option(
            "Exception classes, or their dotted names, after which an operation is retried: those "
            "of a credential provider, for example."
        ),
    ] = ()
    max_connections: Annotated[
        int,
        _POSITIVE,
        option(
            "Maximum number of connections of a process to a server; further calls wait for one.",
            setting="redis_max_connections",
        ),
    ] = 100
    timeout: Annotated[
        Annotated[float, _POSITIVE] | None,
        option(
            "Maximum number of seconds to wait for a free connection; socket_timeout by default."
        ),
    ] = None
    health_check_interval: Annotated[
        float,
        _NOT_NEGATIVE,
        option(
            "Seconds after which an idle connection is checked before it is used, and between "
            "two questions to Sentinels while a process waits; 0: never.",
            setting="redis_backend_health_check_interval",
        ),
    ] = 25.0
    client_name: Annotated[
        str | None, option("Name in CLIENT LIST.", setting="redis_client_name")
    ] = None
    lib_name: Annotated[str | None, option("Name of the library in CLIENT LIST.")] = None
    lib_version: Annotated[str | None, option("Version of the library in CLIENT LIST.")] = None
    wait_replicas: Annotated[
        int,
        _NOT_NEGATIVE,
        option(
            "Replicas that must confirm a write (WAIT); with fewer the write is retried, and fails "
            "in the end."
        ),
    ] = 0
    wait_timeout: Annotated[
        float, _POSITIVE, option("Seconds for replicas to confirm; below socket_timeout.")
    ] = 1.0
    result_chord_ordered: Annotated[
        bool, option("Accepted without effect: the body's values are always in the header's order.")
    ] = True
    protocol: Annotated[Literal[2, 3] | None, option(_FOR_THE_CLIENT)] = None
    legacy_responses: Annotated[bool | None, option(_FOR_THE_CLIENT)] = None
    decode_responses: Annotated[bool | None, option(_FOR_THE_CLIENT)] = None
    encoding: Annotated[str | None, option(_FOR_THE_CLIENT)] = None
    encoding_errors: Annotated[str | None, option(_FOR_THE_CLIENT)] = None
    ssl: Annotated[
        dict[str, Any] | bool | None,
        option(
            "TLS with any scheme: a dictionary of the ssl_ options below.",
            setting="redis_backend_use_ssl",
        ),
    ] = None
    ssl_cert_reqs: Annotated[
        str | None, option("required (default), optional or none; also as CERT_REQUIRED …")
    ] = None
    ssl_ca_certs: Annotated[str | None, option("File of the certificate authorities.")] = None
    ssl_ca_path: Annotated[str | None, option("Directory of the certificate authorities.")] = None
    ssl_ca_data: Annotated[str | None, option("The certificate authorities themselves.")] = None
    ssl_certfile: Annotated[str | None, option("File of the client's certificate.")] = None
    ssl_keyfile: Annotated[str | None, option("File of the client's key.")] = None
    ssl_password: Annotated[str | None, option("Password of the client's key.", secret=True)] = None
    ssl_check_hostname: Annotated[
        bool | None, option("Whether the certificate must name the host; yes by default.")
    ] = None
    ssl_min_version: Annotated[
        int | None, option("Lowest TLS version, as a number of ssl.TLSVersion: 771 is 1.2.")
    ] = None
    ssl_ciphers: Annotated[str | None, option("Ciphers, as OpenSSL writes them.")] = None
    ssl_include_verify_flags: Annotated[
        str | None, option("Names of ssl.VerifyFlags to set, separated by commas.")
    ] = None
    ssl_exclude_verify_flags: Annotated[
        str | None, option("Names of ssl.VerifyFlags to clear, separated by commas.")
    ] = None
    ssl_validate_ocsp: Annotated[bool | None, option("Check the certificate with OCSP.")] = None
    ssl_validate_ocsp_stapled: Annotated[
        bool | None, option("Require a stapled OCSP response.")
    ] = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"  # several fields are secrets


class SentinelOptions(RedisOptions, frozen=True, kw_only=True):
    """More options of a Sentinel URL; the inherited ones are for the data servers."""

    master_name: Annotated[str, option("Name under which the Sentinels know the primary.")] = (
        "mymaster"
    )
    min_other_sentinels: Annotated[
        int,
        _NOT_NEGATIVE,
        option("Ignore a Sentinel that knows fewer other Sentinels."),
    ] = 0
    sentinel_kwargs: Annotated[
        dict[str, Any] | str | None,
        option(
            "redis-py's arguments for the connections to the Sentinels (password, ssl …); as JSON "
            "in a URL.",
            secret=True,
        ),
    ] = None
    sentinel_username: Annotated[str | None, option("User of the Sentinels.")] = None
    sentinel_password: Annotated[
        str | None, option("Password of the Sentinels; the URL's is the servers'.", secret=True)
    ] = None


class ClusterOptions(RedisOptions, frozen=True, kw_only=True):
    """Options of a cluster URL: those of a server; the only database is 0."""


def instance(option: str, named: Any, kind: type[T]) -> T:
    """`named` itself, or an instance of the class with that dotted name."""
    made = _symbol(option, named)() if isinstance(named, str) else named
    if not isinstance(made, kind):
        raise InvalidOption(f"option {option!r}: expected a redis.{kind.__name__}")
    return made


def exceptions(option: str, named: Any) -> Iterator[type[Exception]]:
    """One exception class or several, given as classes or as dotted names."""
    several = named.split(",") if isinstance(named, str) else named
    for each in several if isinstance(several, Iterable) else [several]:
        found = _symbol(option, each.strip()) if isinstance(each, str) else each
        if not (isinstance(found, type) and issubclass(found, Exception)):
            raise InvalidOption(f"option {option!r}: {each!r} is not an exception class")
        yield found


def _symbol(option: str, name: str) -> Any:
    """The object with a dotted name (``a.b.c`` or ``a.b:c``)."""
    module, _, attribute = name.replace(":", ".").rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidOption(f"option {option!r}: cannot import {name!r}") from error
