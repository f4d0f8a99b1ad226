"""The options of a ``mongodb://`` URL and Celery's settings, as arguments of the driver."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote, unquote_plus

import msgspec
from pymongo import MongoClient, WriteConcern, uri_parser
from pymongo.errors import ConfigurationError as DriverConfigurationError
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from kvbackends import ConfigurationError, InvalidOption
from kvbackends.contract import Host, Options, Secret, ServerAddress, StoreURL, option

TIMEOUTS = {
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 5_000,
    "waitQueueTimeoutMS": 5_000,
}
"""Milliseconds, unless the user says otherwise.  By default the driver would wait for 30 s, and
without limit for an answer.
"""

IDLE = {"maxIdleTimeMS": 120_000}
"""Milliseconds, unless the user says otherwise.  By default the driver would use connections that a
firewall has forgotten meanwhile, one after the other.
"""

_OWN_SETTINGS = (
    *("host", "port", "mongo_host", "database", "taskmeta_collection", "groupmeta_collection"),
    *("user", "password", "max_pool_size", "options"),
)
"""Celery's settings that are not options of the driver."""


class MongoDBOptions(Options, frozen=True, kw_only=True):
    """Options of a ``mongodb://`` URL.  All others go to the driver."""

    extra: ClassVar[Literal["refuse", "driver"]] = "driver"

    collection: Annotated[
        str,
        msgspec.Meta(min_length=1),
        option(
            "Collection of the results; by default celery_taskmeta_kv. Chords are stored in the "
            "collection of this name followed by _chords."
        ),
    ] = ""
    settings: Annotated[
        dict[str, Any],
        option(
            "Celery's settings for MongoDB; they override the URL, as in Celery.",
            setting="mongodb_backend_settings",
            secret=True,
        ),
    ] = msgspec.field(default_factory=dict)
    driver_options: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Target:
    """The server, the database, and the arguments of the driver's client."""

    uri: Secret
    arguments: Mapping[str, Any]
    """Keyword arguments of the client; they override the URI's options, and may hold passwords."""
    database: str
    collection: str
    concern: WriteConcern
    reading: ReadConcern
    """Of results; with ``majority`` only what no failover can roll back is read."""
    server: ServerAddress | None
    """One of the servers; None if the driver looks them up."""
    falls_back: bool
    """True if Celery's own backend would authenticate against ``admin`` instead."""

    patience: float
    """Seconds: somewhat less than the longest of the driver's timeouts."""

    @property
    def durable(self) -> bool:
        """True if a confirmed write survives the loss of any one server."""
        concern = self.concern.document
        return bool(concern["w"] == "majority" and concern.get("j"))

    def client(self) -> MongoClient[dict[str, Any]]:
        """The driver's client, which connects with its first request."""
        return MongoClient(**{"host": self.uri.reveal(), **self.arguments, "connect": False})

    def check(self) -> None:
        """Raise `InvalidOption` for what the driver would refuse at the first result."""
        try:
            self.client().get_database(self.database).get_collection(self.collection)
        except (PyMongoError, TypeError, ValueError, OSError) as error:
            words = str(error)
            for secret in self._secrets():
                words = words.replace(secret, "**")
            raise InvalidOption(f"the MongoDB driver: {words}") from None

    def _secrets(self) -> list[str]:
        named = self.arguments.items()
        return [
            each for name, each in named if "password" in name.lower() and isinstance(each, str)
        ]

    def __repr__(self) -> str:
        return f"<{self.database}.{self.collection}>"


def target(url: StoreURL, options: MongoDBOptions) -> Target:
    """Combine the URL, its options and Celery's settings.

    Raises `InvalidOption` or `ConfigurationError` for what the driver would not accept.
    """
    settings = options.settings
    query = _drivers_query(url, options)
    named = _from_settings(settings)
    given = {name.lower(): value for name, value in (_checked(query) | named).items()}
    arguments = _hosts(url, options) | _timeouts(given) | named
    found = Target(
        uri=_uri(url, query),
        arguments=arguments,
        database=settings.get("database") or url.path.partition(".")[0] or "celery",
        collection=options.collection
        or f"{settings.get('taskmeta_collection', 'celery_taskmeta')}_kv",
        concern=_concern(given),
        reading=ReadConcern(given.get("readconcernlevel", "majority")),
        patience=_patience(given),
        server=_server(url, given) if "host" not in arguments else None,
        falls_back=bool(url.path) and "authsource" not in given,
    )
    found.check()
    return found


def _from_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The driver's options in Celery's settings: `options`, and every unknown name."""
    named = {
        "maxPoolSize": settings.get("max_pool_size"),
        "username": settings.get("user") or None,
        "password": settings.get("password") or None,
    }
    others = {name: value for name, value in settings.items() if name not in _OWN_SETTINGS}
    merged = named | (settings.get("options") or {}) | others
    return {name: value for name, value in merged.items() if value is not None}


def _timeouts(given: Mapping[str, Any]) -> dict[str, Any]:
    """The times that the user does not set; `timeoutMS` sets one for all timeouts."""
    times = IDLE if "timeoutms" in given else TIMEOUTS | IDLE
    return {name: value for name, value in times.items() if name.lower() not in given}


def _patience(given: Mapping[str, Any]) -> float:
    """The longest of the driver's timeouts, of which 0 and None mean "without limit"."""
    names = ["timeoutms"] if "timeoutms" in given else map(str.lower, TIMEOUTS)
    defaults = {name.lower(): value for name, value in TIMEOUTS.items()}
    times = [given.get(name, defaults.get(name)) for name in names]
    if not all(isinstance(each, int | float) and each for each in times):
        return math.inf  # also for what `check` refuses
    longest: float = max(times)
    return longest / 1000 - 0.1


def _drivers_query(url: StoreURL, options: MongoDBOptions) -> str:
    """The URL's query as it was written, without the options that are not the driver's."""
    pairs = url.raw.reveal().partition("?")[2].split("&")
    return "&".join(
        pair for pair in pairs if unquote_plus(pair.partition("=")[0]) in options.driver_options
    )


def _checked(query: str) -> dict[str, Any]:
    """The options as the driver parses them; without the hosts, so that no name is resolved."""
    named = "&".join(each for each in query.split("&") if not each.lower().startswith("srv"))
    try:
        return dict(uri_parser.parse_uri(f"mongodb://localhost/?{named}", warn=False)["options"])
    except (DriverConfigurationError, ValueError, OSError) as error:  # a file may be missing
        raise InvalidOption(f"the MongoDB driver: {error}") from None


def _uri(url: StoreURL, query: str) -> Secret:
    """The URL as it was written, with only the driver's options."""
    base = url.raw.reveal().partition("?")[0]
    if not url.hosts:
        base = f"{url.scheme}://localhost/{quote(url.path)}"
    if query and "/" not in base.partition("://")[2]:
        base += "/"
    uri = f"{base}?{query}" if query else base
    if url.scheme == "mongodb":
        try:
            uri_parser.parse_uri(uri, warn=False)
        except (DriverConfigurationError, ValueError) as error:  # may quote a password
            raise ConfigurationError(
                f"the MongoDB driver does not accept this URL ({type(error).__name__}); expected "
                "mongodb://user:password@host:27017,host2:27017/database?option=value, with user "
                "and password percent-encoded"
            ) from None
    return Secret(uri)


def _hosts(url: StoreURL, options: MongoDBOptions) -> dict[str, Any]:
    """The hosts in the settings; as in Celery, they replace those of the URL, and only those."""
    settings = options.settings
    host, port = settings.get("host", "localhost"), settings.get("port", 27017)
    if isinstance(host, str) and not host.startswith("mongodb"):
        name = host.rstrip("/")
        host = f"mongodb://{name}" if ":" in name.strip("[]") else f"mongodb://{name}:{port}"
    if settings.get("mongo_host"):
        host = settings["mongo_host"]
    elif "host" not in settings and "port" not in settings:
        return {}
    user = {} if url.username is None else {"username": url.username}
    if url.password is not None:
        user["password"] = url.password.reveal()
    return {**options.driver_options, **user, "host": host}


def _server(url: StoreURL, given: Mapping[str, Any]) -> ServerAddress | None:
    if url.scheme != "mongodb":
        return None
    host = (*url.hosts, Host("localhost"))[0]
    return ServerAddress(host.name, host.port or 27017, bool(given.get("tls", given.get("ssl"))))


def _concern(given: Mapping[str, Any]) -> WriteConcern:
    """Acknowledged by a majority and journaled, unless the user says otherwise.

    Raises `InvalidOption` for unacknowledged writes.
    """
    if given.get("w") == 0:
        raise InvalidOption(
            "option 'w': with 0 the server would not confirm that a result is stored; leave it "
            "out, or give majority or a number above zero"
        )
    return WriteConcern(
        w=given.get("w", "majority"),
        wtimeout=given.get("wtimeoutms"),
        j=given.get("journal", None if given.get("fsync") else True),
        fsync=given.get("fsync"),
    )
