"""What a Redis URL accepts, and what of it goes to the driver."""

import importlib
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from kvbackends import ConfigurationError, InvalidOption, Options, StoreURL, option

TIMEOUT = 5.0
"""Seconds that an answer may take, where nobody has said otherwise."""

CELERYS_TIMEOUT = 120.0
"""Celery's default of `redis_socket_timeout`; two minutes of silence are not what anybody chose."""

_POSITIVE = msgspec.Meta(gt=0)


class RedisOptions(Options, frozen=True, kw_only=True):
    """Options of a URL of Redis; most have the names that redis-py and Celery give them."""

    host: Annotated[str, option("Server, where the URL names none.", setting="redis_host")] = (
        "localhost"
    )
    port: Annotated[int, option("Port, where the URL names none.", setting="redis_port")] = 6379
    db: Annotated[
        int | None,
        option("Number of the database; the URL's path comes first.", setting="redis_db"),
    ] = None
    virtual_host: Annotated[
        str | None, option("Number of the database, as Celery spells it for sockets.")
    ] = None
    username: Annotated[
        str | None, option("User, where the URL names none.", setting="redis_username")
    ] = None
    password: Annotated[
        str | None,
        option("Password, where the URL has none.", setting="redis_password", secret=True),
    ] = None
    credential_provider: Annotated[
        Any,
        option(
            "A redis.CredentialProvider, or the dotted name of its class; it takes the place of "
            "user and password.",
            setting="redis_backend_credential_provider",
            secret=True,
        ),
    ] = None
    socket_timeout: Annotated[
        float,
        _POSITIVE,
        option(
            f"Seconds that an answer may take.  Celery's default, {CELERYS_TIMEOUT:g}, stands for "
            f"{TIMEOUT:g} here, unless it is in the URL.",
            setting="redis_socket_timeout",
        ),
    ] = TIMEOUT
    socket_connect_timeout: Annotated[
        float,
        _POSITIVE,
        option("Seconds that connecting may take.", setting="redis_socket_connect_timeout"),
    ] = 5.0
    socket_keepalive: Annotated[
        bool, option("TCP keepalive.", setting="redis_socket_keepalive")
    ] = True
    retry_on_timeout: Annotated[
        bool,
        option(
            "Accepted: what may be repeated is repeated after a timeout, too (option retry).",
            setting="redis_retry_on_timeout",
        ),
    ] = False
    max_connections: Annotated[
        int,
        _POSITIVE,
        option(
            "Most connections of a process; more calls at once wait for one.",
            setting="redis_max_connections",
        ),
    ] = 100
    health_check_interval: Annotated[
        float,
        msgspec.Meta(ge=0),
        option(
            "Seconds after which an idle connection is tried before it is used; 0: never.",
            setting="redis_backend_health_check_interval",
        ),
    ] = 25.0
    client_name: Annotated[
        str | None, option("Name in CLIENT LIST.", setting="redis_client_name")
    ] = None
    ssl: Annotated[
        dict[str, Any] | bool | None,
        option(
            "TLS on a redis:// URL too: a dictionary of the ssl_ options below.",
            setting="redis_backend_use_ssl",
        ),
    ] = None
    ssl_cert_reqs: Annotated[
        str | None, option("required (default), optional or none; also as CERT_REQUIRED …")
    ] = None
    ssl_ca_certs: Annotated[str | None, option("File of the certificate authorities.")] = None
    ssl_ca_path: Annotated[str | None, option("Folder of the certificate authorities.")] = None
    ssl_ca_data: Annotated[str | None, option("The certificate authorities themselves.")] = None
    ssl_certfile: Annotated[str | None, option("File of the client's certificate.")] = None
    ssl_keyfile: Annotated[str | None, option("File of the client's key.")] = None
    ssl_password: Annotated[str | None, option("Password of the client's key.", secret=True)] = None
    ssl_check_hostname: Annotated[
        bool | None, option("Whether the certificate must be for the host.")
    ] = None
    ssl_ciphers: Annotated[str | None, option("Ciphers, as OpenSSL writes them.")] = None

    def __repr__(self) -> str:
        return "RedisOptions(…)"  # several of them are secrets


class Endpoint(msgspec.Struct):
    """Which class of redis-py's connects, with which arguments."""

    kind: type[Any]
    arguments: dict[str, Any]
    most: int

    def __repr__(self) -> str:
        return f"Endpoint({self.kind.__name__})"


def endpoint(url: StoreURL, options: RedisOptions) -> Endpoint:
    """What the URL and the options ask for; `ConfigurationError` where that cannot be."""
    arguments: dict[str, Any] = {
        **_common(url, options),
        **_credentials(url, options),
    }
    if url.scheme in ("unix", "redis+socket"):
        kind: type[Any] = redis.UnixDomainSocketConnection
        arguments["path"] = _socket_path(url)
    else:
        tls = _tls(url, options)
        kind = redis.Connection if tls is None else redis.SSLConnection
        arguments.update(_server(url, options), **(tls or {}))
    return Endpoint(kind, arguments, options.max_connections)


def _common(url: StoreURL, options: RedisOptions) -> dict[str, Any]:
    timeout = options.socket_timeout
    if timeout == CELERYS_TIMEOUT and "socket_timeout" not in url.query:
        timeout = TIMEOUT
    return {
        "db": _database(url, options),
        "socket_timeout": timeout,
        "socket_connect_timeout": options.socket_connect_timeout,
        "health_check_interval": options.health_check_interval,
        "client_name": options.client_name,
        "protocol": 2,  # messages and answers in one shape, on every version
        # The only retries are the core's: the driver does not know what may be repeated.
        "retry": Retry(NoBackoff(), 0),
    }


def _database(url: StoreURL, options: RedisOptions) -> int:
    """As Celery: the setting `redis_db` counts for sockets only, which have no other place."""
    is_socket = url.scheme in ("unix", "redis+socket")
    path = "" if is_socket else url.path.strip("/")
    asked = options.db if is_socket or "db" in url.query else None
    text = path or options.virtual_host or str(asked or 0)
    if not text.strip("/").isdigit():
        raise ConfigurationError(
            f"a Redis database is a number, as in redis://localhost/0, not {text!r}"
        )
    return int(text.strip("/"))


def _credentials(url: StoreURL, options: RedisOptions) -> dict[str, Any]:
    provider = options.credential_provider
    if provider is not None:
        return {"credential_provider": _provider(provider)}
    password = options.password if url.password is None else url.password.reveal()
    return {"username": url.username or options.username, "password": password}


def _provider(named: Any) -> redis.CredentialProvider:
    made = _symbol(named)() if isinstance(named, str) else named
    if not isinstance(made, redis.CredentialProvider):
        raise InvalidOption("option 'credential_provider': expected a redis.CredentialProvider")
    return made


def _symbol(name: str) -> Any:
    module, _, attribute = name.replace(":", ".").rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidOption(f"option 'credential_provider': cannot import {name!r}") from error


def _socket_path(url: StoreURL) -> str:
    if url.hosts or not url.path:
        raise ConfigurationError(
            f"a socket is named by its whole path: {url.scheme}:///run/redis/redis.sock"
        )
    return f"/{url.path}"


def _server(url: StoreURL, options: RedisOptions) -> dict[str, Any]:
    if len(url.hosts) > 1:
        raise ConfigurationError(f"{url.scheme}:// names one server; several need another scheme")
    host = url.hosts[0] if url.hosts else None
    return {
        "host": host.name if host else options.host,
        "port": options.port if host is None or host.port is None else host.port,
        "socket_keepalive": options.socket_keepalive,
    }


_TLS = (
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_ca_data",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_password",
    "ssl_check_hostname",
    "ssl_ciphers",
)


def _tls(url: StoreURL, options: RedisOptions) -> dict[str, Any] | None:
    """The arguments for TLS, None without.  A certificate is verified unless that is refused."""
    named = {name: getattr(options, name) for name in _TLS}
    given = {name: value for name, value in named.items() if value is not None}
    if url.scheme != "rediss" and not options.ssl:
        if given:
            raise InvalidOption(f"option {next(iter(given))!r} is for rediss:// URLs")
        return None
    asked: Mapping[str, Any] = options.ssl if isinstance(options.ssl, dict) else {}
    arguments = {**asked, **given}
    arguments["ssl_cert_reqs"] = _verification(arguments.get("ssl_cert_reqs", "required"))
    if arguments["ssl_cert_reqs"] == "none":
        arguments["ssl_check_hostname"] = False
    return arguments


_VERIFICATIONS = ("none", "optional", "required")


def _verification(asked: Any) -> str:
    """redis-py's word; Celery's are the names of Python's constants, or the constants."""
    word = _VERIFICATIONS[asked] if asked in (0, 1, 2) else str(asked)
    word = word.removeprefix("CERT_").lower()
    if word not in _VERIFICATIONS:
        raise InvalidOption(
            "option 'ssl_cert_reqs': expected required, optional or none (CERT_REQUIRED …)"
        )
    return word
