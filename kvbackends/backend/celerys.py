"""Opens Celery's own backends: where older workers keep their chords and their results."""

import json
from collections.abc import Mapping
from typing import Any

from celery.exceptions import ImproperlyConfigured

from kvbackends.backend.compat import backend_class
from kvbackends.contract.options import CoreOptions, declared
from kvbackends.contract.url import StoreURL
from kvbackends.errors import InvalidOption
from kvbackends.plugins.registry import adapter_for

_REDIS = frozenset(
    {
        *("credential_provider", "client_name", "db", "health_check_interval", "max_connections"),
        *("password", "retry_on_timeout", "socket_connect_timeout", "socket_keepalive"),
        *("socket_timeout", "ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname"),
        *("ssl_keyfile", "username", "virtual_host"),
    }
)
"""The options in a Redis URL that Celery's class hands to redis-py, and that mean the same here."""
_CHORDS = ("redis", "rediss", "redis+socket", "unix", "sentinel", "memcached", "cache+")
"""How the schemes begin at which Celery's class counts the parts of a chord itself."""


class Celerys:
    """The address of one of Celery's own backends.

    Args:
        url: What Celery takes as `result_backend`: a URL, or the name of a backend.
        sentinels: The options of a Sentinel URL, which Celery takes from its settings only.
    """

    def __init__(self, app: Any, url: str, sentinels: Mapping[str, Any] | None = None) -> None:
        self._app = app
        self._url = url
        self._sentinels = sentinels

    def __str__(self) -> str:
        return str(StoreURL.parse(self._url)) if "://" in self._url else self._url

    def open(self) -> Any:
        """Return a new backend.  Raises Celery's `ImproperlyConfigured`."""
        cls, url = backend_class(self._app, self._url)
        backend = cls(app=self._app, url=url)
        if self._sentinels is not None:
            transport = self._app.conf.result_backend_transport_options or {}
            backend._transport_options = _sentinels({**transport, **self._sentinels})
        if (manager := getattr(backend, "session_manager", None)) is not None:
            # Celery's database backend keeps its connections in a forked process only; elsewhere it
            # opens one for each read, which takes PostgreSQL ten times as long as the read.
            manager.forked = True
        return backend

    def check(self) -> None:
        """Raise `InvalidOption` if Celery has no backend of that name, or cannot import it."""
        try:
            backend_class(self._app, self._url)
        except (ImportError, AttributeError, ImproperlyConfigured) as error:
            raise InvalidOption(
                f"option 'fallback': Celery cannot load a backend for {self}: {error}"
            ) from None

    def redacted(self, text: str) -> str:
        """`text` without the address's password."""
        return StoreURL.parse(self._url).redacted(text) if "://" in self._url else text


def named(app: Any, name: str, place: StoreURL) -> Celerys:
    """The backend that the option `fallback` names beside the store at `place`.

    A name without ``://`` is Celery's backend at the same place if that has the name, and else the
    one that Celery's settings describe.  Raises `InvalidOption`.
    """
    scheme, separator, rest = name.partition("://")
    scheme = scheme.replace(" ", "+")  # as an unescaped + of a query reads
    if scheme.startswith("kv+"):
        raise InvalidOption(
            "option 'fallback': it names one of Celery's own backends, without kv+; results of "
            "another store of kvbackends are copied"
        )
    if not separator and place.scheme.startswith(name):
        found = _beside(app, place)
    else:
        found = Celerys(app, f"{scheme}://{rest}" if separator else name)
    found.check()
    return found


def with_chords(app: Any, place: StoreURL) -> Celerys | None:
    """Celery's backend at `place`, if it counts the parts of chords there; else None."""
    if not place.scheme.startswith(_CHORDS) or place.scheme.endswith("+cluster"):
        return None
    is_plain = not {"key_prefix", "tls"} & place.query.keys() and not place.password
    if place.scheme.startswith(("memcached", "cache+")) and not is_plain:
        return None  # options that Celery's URL does not have
    return _beside(app, place)


def _beside(app: Any, place: StoreURL) -> Celerys:
    return Celerys(app, _url(place), place.query if place.scheme == "sentinel" else None)


def _url(place: StoreURL) -> str:
    """The URL of Celery's own backend on the servers of a store."""
    base, _, query = place.raw.reveal().partition("?")
    scheme, _, rest = base.partition("://")
    match place.scheme:
        case "redis" | "rediss" | "redis+socket" | "unix":
            name = "redis+socket" if place.scheme == "unix" else scheme
            return _joined(f"{name}://{rest}", query, lambda option: option in _REDIS)
        case "sentinel":
            user, at, _ = rest.rpartition("@")
            user = user.split(";")[0].partition("@")[0]
            return ";".join(
                f"sentinel://{user}{at and '@'}{host}/{place.path}" for host in place.hosts
            )
        case "mongodb" | "mongodb+srv":
            store = adapter_for(place.scheme).store
            ours = {*CoreOptions.__struct_fields__, *(o.name for o in declared(store.options_type))}
            return _joined(base, query, lambda option: option not in ours)
        case "cassandra":
            return "cassandra"  # Celery has settings for it, and no URL
        case "memcached":
            return f"cache+{base}"
    return base


def _joined(base: str, query: str, keeps: Any) -> str:
    kept = "&".join(each for each in query.split("&") if each and keeps(each.partition("=")[0]))
    return f"{base}?{kept}" if kept else base


def _sentinels(options: Mapping[str, Any]) -> dict[str, Any]:
    """Our Sentinel options as Celery's class reads them."""
    inner = options.get("sentinel_kwargs") or {}
    inner = dict(json.loads(inner) if isinstance(inner, str) else inner)
    for name in ("username", "password"):
        if options.get(f"sentinel_{name}"):
            inner[name] = options[f"sentinel_{name}"]
    return {
        "master_name": "mymaster",
        **options,
        "min_other_sentinels": int(options.get("min_other_sentinels", 0)),
        "sentinel_kwargs": inner,
    }
