"""Turns a URL and its options into redis-py's arguments."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import redis
from redis import cluster
from redis.backoff import NoBackoff
from redis.retry import Retry

from kvbackends import ConfigurationError, InvalidOption
from kvbackends.contract import ServerAddress, StoreURL
from kvbackends_redis.connecting import tls
from kvbackends_redis.connecting.sentinel import (
    Address,
    PrimaryConnection,
    Sentinels,
    SSLPrimaryConnection,
)
from kvbackends_redis.options import (
    CELERYS_TIMEOUT,
    TIMEOUT,
    RedisOptions,
    SentinelOptions,
    exceptions,
    instance,
)

PORT, SENTINELS_PORT = 6379, 26_379
SOCKETS = ("unix", "redis+socket")

_FOR_THE_CLIENT = (
    "protocol",
    "legacy_responses",
    "decode_responses",
    "encoding",
    "encoding_errors",
    "socket_read_size",
)


class Endpoint(msgspec.Struct, frozen=True):
    """The connection class of redis-py and its arguments."""

    kind: type[Any]
    arguments: dict[str, Any]
    most: int
    patience: float
    """Seconds to wait for a connection."""
    replicas: int = 0
    replicas_seconds: float = 0.0
    """Maximum number of seconds for `replicas` replicas to confirm a write."""
    seeds: tuple[Address, ...] = ()
    """Nodes of a cluster; `arguments` then has no address."""
    errors: tuple[type[Exception], ...] = ()
    """Additional transient exceptions."""
    for_the_client: dict[str, Any] = {}
    """Additional arguments of `plain_client`."""

    def __repr__(self) -> str:
        return f"Endpoint({self.kind.__name__})"

    @property
    def listening(self) -> tuple[float, float]:
        """Seconds between a listener's health checks, and seconds to wait for their answers."""
        return self.arguments["health_check_interval"], self.arguments["socket_timeout"]

    @property
    def server(self) -> ServerAddress | None:
        """The server, one node of the cluster, or one Sentinel."""
        if sentinels := self.arguments.get("sentinels"):
            return sentinels.server  # type: ignore[no-any-return]
        own = self.arguments.get("host"), self.arguments.get("port")
        host, port = self.seeds[0] if self.seeds else own
        tls = issubclass(self.kind, redis.SSLConnection)
        return None if host is None or port is None else ServerAddress(host, port, tls)

    def at(self, address: Address) -> dict[str, Any]:
        """The arguments for a connection to one node of the cluster."""
        host, port = address
        return {**self.arguments, "host": host, "port": port}


def of_server(url: StoreURL, options: RedisOptions) -> Endpoint:
    """The endpoint of one server or Unix socket; raises `ConfigurationError`."""
    if url.scheme in SOCKETS:
        socket = {"path": _socket_path(url)}
        return _endpoint(redis.UnixDomainSocketConnection, url, options, socket)
    if len(url.hosts) > 1:
        raise ConfigurationError(f"{url.scheme}:// names one server; several need another scheme")
    [(host, port)] = _addresses(url, options, PORT)
    secured = tls.arguments(url, options)
    kind = redis.Connection if secured is None else redis.SSLConnection
    place = {
        "host": host,
        "port": port,
        "socket_keepalive": options.socket_keepalive,
    }
    return _endpoint(kind, url, options, {**place, **(secured or {})})


def of_sentinels(url: StoreURL, options: SentinelOptions) -> Endpoint:
    """The endpoint of the primary that Sentinels name."""
    sentinels = Sentinels(
        _addresses(url, options, SENTINELS_PORT),
        options.master_name,
        options.min_other_sentinels,
        _for_sentinels(url, options),
    )
    secured = tls.arguments(url, options, asked_by_any=True)
    kind = PrimaryConnection if secured is None else SSLPrimaryConnection
    place = {"sentinels": sentinels, "socket_keepalive": options.socket_keepalive}
    return _endpoint(kind, url, options, {**place, **(secured or {})})


def of_cluster(url: StoreURL, options: RedisOptions) -> Endpoint:
    """The endpoint of a cluster; the URL names some of its nodes."""
    if _database(url, options):
        raise ConfigurationError("a Redis Cluster has no database but 0")
    secured = tls.arguments(url, options)
    kind = redis.Connection if secured is None else redis.SSLConnection
    place = {"socket_keepalive": options.socket_keepalive, **(secured or {})}
    if hasattr(cluster, "ClusterParser"):  # before redis-py 6 only this parser knew redirections
        place["parser_class"] = cluster.ClusterParser
    return _endpoint(kind, url, options, place, tuple(_addresses(url, options, PORT)))


def plain_client(endpoint: Endpoint) -> redis.Redis | redis.RedisCluster:
    """A redis-py client to the same servers, with its own connections.

    A cluster's client connects at once, to read the slots.
    """
    arguments = {**endpoint.arguments, **endpoint.for_the_client}
    if not endpoint.seeds:
        pool: Any = redis.ConnectionPool(
            connection_class=endpoint.kind, max_connections=endpoint.most, **arguments
        )
        return redis.Redis.from_pool(pool)
    for name in ("db", "retry"):
        del arguments[name]
    if issubclass(endpoint.kind, redis.SSLConnection):
        arguments["ssl"] = True
    node: Any = cluster.ClusterNode  # it has no types
    nodes = [node(*address) for address in endpoint.seeds]
    return redis.RedisCluster(startup_nodes=nodes, max_connections=endpoint.most, **arguments)


def _endpoint(
    kind: type[Any],
    url: StoreURL,
    options: RedisOptions,
    place: Mapping[str, Any],
    seeds: tuple[Address, ...] = (),
) -> Endpoint:
    timeout = _timeout(url, options)
    arguments = {**_common(url, options), **_credentials(url, options), **place}
    more = {name: getattr(options, name) for name in _FOR_THE_CLIENT}
    made = Endpoint(
        kind,
        arguments,
        options.max_connections,
        options.timeout or timeout,
        options.wait_replicas,
        options.wait_timeout,
        seeds,
        tuple(exceptions("additional_connection_errors", options.additional_connection_errors)),
        {name: value for name, value in more.items() if value is not None},
    )
    if options.wait_replicas and options.wait_timeout >= timeout:
        raise InvalidOption("option 'wait_timeout': expected less than socket_timeout")
    _try(kind, arguments, "ssl")
    return made


def _try(kind: type[Any], arguments: Mapping[str, Any], option: str) -> None:
    """Let redis-py check the arguments now rather than on connecting."""
    try:
        kind(**arguments)
    except (TypeError, redis.RedisError) as error:
        raise InvalidOption(f"option {option!r}: redis-py refuses it: {error}") from None


def _timeout(url: StoreURL, options: RedisOptions) -> float:
    celerys = options.socket_timeout == CELERYS_TIMEOUT and "socket_timeout" not in url.query
    return TIMEOUT if celerys else options.socket_timeout


def _common(url: StoreURL, options: RedisOptions) -> dict[str, Any]:
    return {
        # Text: the handshake would give hiredis a number (see `wire.pack`).  0 sends no SELECT.
        "db": str(database) if (database := _database(url, options)) else 0,
        "socket_timeout": _timeout(url, options),
        "socket_connect_timeout": options.socket_connect_timeout,
        "health_check_interval": options.health_check_interval,
        "client_name": options.client_name,
        "protocol": 2,  # messages and answers in one shape, on every version
        "retry": _no_retries(),
        **_library(options),
    }


def _library(options: RedisOptions) -> dict[str, Any]:
    """Library name and version for CLIENT LIST; newer versions of redis-py take one argument."""
    told = {"lib_name": options.lib_name, "lib_version": options.lib_version}
    named = {name: value for name, value in told.items() if value is not None}
    if not named or not hasattr(redis, "DriverInfo"):
        return named
    named["name"] = named.pop("lib_name", "redis-py")
    driver_info: Any = redis.DriverInfo
    return {"driver_info": driver_info(**named)}


def _no_retries() -> Retry:
    """Disable redis-py's retries: only the core knows which operations may be repeated."""
    return Retry(NoBackoff(), 0)


def _database(url: StoreURL, options: RedisOptions) -> int:
    """The database's number; as in Celery, `redis_db` is used for sockets only."""
    is_socket = url.scheme in SOCKETS
    path = "" if is_socket else url.path.strip("/")
    asked = options.db if is_socket or "db" in url.query else None
    text = path or options.virtual_host or str(asked or 0)
    if not text.strip("/").isdecimal():
        raise ConfigurationError(
            f"a Redis database is a number, as in redis://localhost/0, not {text!r}"
        )
    return int(text.strip("/"))


def _credentials(url: StoreURL, options: RedisOptions) -> dict[str, Any]:
    provider = options.credential_provider
    if provider is not None:
        kind = redis.CredentialProvider
        return {"credential_provider": instance("credential_provider", provider, kind)}
    password = options.password if url.password is None else url.password.reveal()
    return {"username": url.username or options.username, "password": password}


def _socket_path(url: StoreURL) -> str:
    if url.hosts or not url.path:
        raise ConfigurationError(
            f"a socket is named by its whole path: {url.scheme}:///run/redis/redis.sock"
        )
    return f"/{url.path}"


def _addresses(url: StoreURL, options: RedisOptions, port: int) -> list[Address]:
    port = options.port or port
    named = [(host.name or options.host, host.port or port) for host in url.hosts]
    return named or [(options.host, port)]


def _for_sentinels(url: StoreURL, options: SentinelOptions) -> dict[str, Any]:
    """Arguments for Sentinels: `sentinel_kwargs`, with the data servers' timeouts as defaults."""
    given = options.sentinel_kwargs or {}
    given = tls.checked(_read(given) if isinstance(given, str) else given)
    own = {"username": options.sentinel_username, "password": options.sentinel_password}
    arguments = {
        "socket_timeout": _timeout(url, options),
        "socket_connect_timeout": options.socket_connect_timeout,
        "socket_keepalive": options.socket_keepalive,
        "retry": _no_retries(),
        **{name: value for name, value in own.items() if value is not None},
        **given,
    }
    _try(redis.Redis, arguments, "sentinel_kwargs")
    return arguments


def _read(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise InvalidOption("option 'sentinel_kwargs': expected a JSON object")
    return given
