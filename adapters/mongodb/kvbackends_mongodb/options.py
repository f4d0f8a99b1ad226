"""What a ``mongodb://`` URL and Celery's settings say, as what the driver is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote, unquote_plus

import msgspec
from pymongo import WriteConcern, uri_parser
from pymongo.errors import ConfigurationError as DriverRefuses

from kvbackends import ConfigurationError, InvalidOption
from kvbackends.contract import Options, Secret, StoreURL, option

TIMEOUTS = {
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 5_000,
    "waitQueueTimeoutMS": 5_000,
}
"""Milliseconds, where the URL says nothing.  The driver waits 30 s, and for an answer for ever."""

_CELERYS = (
    *("host", "port", "mongo_host", "database", "taskmeta_collection", "groupmeta_collection"),
    *("user", "password", "max_pool_size", "options"),
)


class MongoDBOptions(Options, frozen=True, kw_only=True):
    """Options of a ``mongodb://`` URL.  All others belong to the driver."""

    extra: ClassVar[Literal["refuse", "driver"]] = "driver"

    collection: Annotated[
        str,
        msgspec.Meta(min_length=1),
        option("Collection of the results; that of the chords has `_chords` behind its name."),
    ] = ""
    settings: Annotated[
        dict[str, Any],
        option(
            "Celery's settings for MongoDB; they win over the URL, as in Celery.",
            setting="mongodb_backend_settings",
            secret=True,
        ),
    ] = msgspec.field(default_factory=dict)
    driver_options: dict[str, str] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where to connect, and how."""

    uri: Secret
    arguments: Mapping[str, Any]
    """Keyword arguments of the client, which win over the URI's options; with passwords."""
    database: str
    collection: str
    concern: WriteConcern
    falls_back: bool
    """True if Celery's own backend would authenticate against another database: `admin`."""

    @property
    def durable(self) -> bool:
        """True if a confirmed write outlives the loss of any one server."""
        concern = self.concern.document
        return bool(concern["w"] == "majority" and concern.get("j"))

    def __repr__(self) -> str:
        return f"<{self.database}.{self.collection}>"


def target(url: StoreURL, options: MongoDBOptions) -> Target:
    """What `url`, `options` and Celery's settings say together.

    Raises `InvalidOption` or `ConfigurationError` for what the driver would not accept.
    """
    settings = options.settings
    query = _drivers_query(url, options)
    told = _told(settings)
    given = {name.lower(): value for name, value in (_checked(query) | told).items()}
    return Target(
        uri=_uri(url, query),
        arguments=_hosts(settings, options) | _timeouts(given) | told,
        database=settings.get("database") or url.path.partition(".")[0] or "celery",
        collection=options.collection
        or f"{settings.get('taskmeta_collection', 'celery_taskmeta')}_kv",
        concern=_concern(given),
        falls_back=bool(url.path) and "authsource" not in given,
    )


def _told(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The driver's options in Celery's settings: `options`, and whatever is left over."""
    named = {
        "maxPoolSize": settings.get("max_pool_size"),
        "username": settings.get("user"),
        "password": settings.get("password"),
    }
    others = {name: value for name, value in settings.items() if name not in _CELERYS}
    told = named | settings.get("options", {}) | others
    return {name: value for name, value in told.items() if value is not None}


def _timeouts(given: Mapping[str, Any]) -> dict[str, Any]:
    """Ours, where the user says nothing; one for the whole operation takes the place of all."""
    if "timeoutms" in given:
        return {}
    return {name: value for name, value in TIMEOUTS.items() if name.lower() not in given}


def _drivers_query(url: StoreURL, options: MongoDBOptions) -> str:
    """The URL's query as it was written, without what is not the driver's."""
    pairs = url.raw.reveal().partition("?")[2].split("&")
    return "&".join(
        pair for pair in pairs if unquote_plus(pair.partition("=")[0]) in options.driver_options
    )


def _checked(query: str) -> dict[str, Any]:
    """The options as the driver reads them; without the hosts, nothing has to be resolved."""
    named = "&".join(each for each in query.split("&") if not each.lower().startswith("srv"))
    try:
        return dict(uri_parser.parse_uri(f"mongodb://localhost/?{named}", warn=False)["options"])
    except (DriverRefuses, ValueError) as error:
        raise InvalidOption(f"the MongoDB driver: {error}") from None


def _uri(url: StoreURL, query: str) -> Secret:
    """The URL as it was written, with the driver's options only."""
    base = url.raw.reveal().partition("?")[0]
    if not url.hosts:
        base = f"{url.scheme}://localhost/{quote(url.path)}"
    if query and "/" not in base.partition("://")[2]:
        base += "/"
    uri = f"{base}?{query}" if query else base
    if url.scheme == "mongodb":
        try:
            uri_parser.parse_uri(uri, warn=False)
        except (DriverRefuses, ValueError) as error:  # its text may quote a part of a password
            raise ConfigurationError(
                f"the MongoDB driver does not accept this URL ({type(error).__name__}): it looks "
                "like mongodb://user:password@host:27017,host2:27017/database?option=value, where "
                "user and password are percent-encoded"
            ) from None
    return Secret(uri)


def _hosts(settings: Mapping[str, Any], options: MongoDBOptions) -> dict[str, Any]:
    """Celery: with a host or a port in its settings those of the URL do not count."""
    host, port = settings.get("host", "localhost"), settings.get("port", 27017)
    if isinstance(host, str) and not host.startswith("mongodb"):
        host = f"mongodb://{host}:{port}"
    if settings.get("mongo_host"):
        host = settings["mongo_host"]
    elif "host" not in settings and "port" not in settings:
        return {}
    return {**options.driver_options, "host": host}


def _concern(given: Mapping[str, Any]) -> WriteConcern:
    """Journaled on a majority, unless the user says otherwise; never unacknowledged."""
    if given.get("w") == 0:
        raise InvalidOption(
            "option 'w': with 0 nobody would know whether a result is stored. Leave it out, or "
            "say 1 or more, or majority"
        )
    return WriteConcern(
        w=given.get("w", "majority"),
        wtimeout=given.get("wtimeoutms"),
        j=given.get("journal", None if given.get("fsync") else True),
        fsync=given.get("fsync"),
    )
