"""What a ``memcached://`` URL accepts, and what it means to the driver."""

import ssl
from typing import Annotated, Any

import msgspec

from kvbackends import ConfigurationError
from kvbackends.contract import Options, option

_Seconds = Annotated[float, msgspec.Meta(gt=0)] | None
DEFAULTS = {"connect_timeout": 5.0, "timeout": 5.0, "no_delay": True}
KEPT = {*DEFAULTS, "socket_keepalive", "tls_context"}
"""Of what Celery gives to pymemcache; pools, repetitions and hidden errors are the core's."""
REFUSED = {"serde", "serializer", "deserializer", "hasher"}
"""With these other bytes would be stored, or at another server."""


class MemcachedOptions(Options, frozen=True, kw_only=True):
    """Options of a ``memcached://`` URL."""

    connect_timeout: Annotated[_Seconds, option("Seconds to connect; 5 by default.")] = None
    timeout: Annotated[_Seconds, option("Seconds to wait for an answer; 5 by default.")] = None
    key_prefix: Annotated[str | None, option("Begins each key on the server.")] = None
    item_size_max: Annotated[
        int, msgspec.Meta(ge=1024), option("Bytes, as the servers were told with -I.")
    ] = 1024 * 1024
    tls: Annotated[bool, option("Encrypt the connections.")] = False
    tls_ca_file: Annotated[
        str | None, option("The authorities to trust, in PEM; the system's by default.")
    ] = None
    tls_cert_file: Annotated[str | None, option("The client's own certificate, in PEM.")] = None
    tls_key_file: Annotated[str | None, option("Its key, if in a file of its own.")] = None
    cache_backend_options: Annotated[
        dict[str, Any] | None,
        option("What Celery gives to pymemcache.", setting="cache_backend_options"),
    ] = None

    def prefix(self) -> str:
        """What each key begins with."""
        given = self.key_prefix or (self.cache_backend_options or {}).get("key_prefix", "")
        return given.decode() if isinstance(given, bytes) else str(given)

    def for_driver(self) -> dict[str, Any]:
        """Arguments of pymemcache's ``Client``; a URL's option comes before the setting."""
        given = self.cache_backend_options or {}
        if refused := sorted(REFUSED & given.keys()):
            raise ConfigurationError(
                f"cache_backend_options: {', '.join(refused)} is not supported, because others "
                "would not find what is stored"
            )
        own = {"connect_timeout": self.connect_timeout, "timeout": self.timeout}
        kept = {name: given[name] for name in KEPT & given.keys()} | {
            name: seconds for name, seconds in own.items() if seconds is not None
        }
        return DEFAULTS | {name: value for name, value in kept.items() if value is not None}

    def tls_context(self) -> ssl.SSLContext | None:
        """A context with these files, or None without TLS."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.tls_ca_file)
        if self.tls_cert_file is not None:
            context.load_cert_chain(self.tls_cert_file, self.tls_key_file)
        return context
