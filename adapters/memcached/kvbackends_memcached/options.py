"""The options of a ``memcached://`` URL, and the arguments that they become for the driver."""

import re
import ssl
from typing import Annotated, Any

import msgspec

from kvbackends import ConfigurationError, InvalidOption
from kvbackends.contract import Options, Secret, StoreURL, check_files, option

_Seconds = Annotated[float, msgspec.Meta(gt=0)] | None
DEFAULTS = {"connect_timeout": 5.0, "timeout": 5.0, "no_delay": True}
KEPT = {*DEFAULTS, "socket_keepalive", "tls_context"}
"""The names in Celery's ``cache_backend_options`` that reach the driver.

The others set connection pools, retries and ignored errors, which the adapter and the retry layer
handle themselves.
"""
PREFIX_BYTES = 150
"""Leaves 100 bytes for the key itself; a longer key is hashed."""
PREFIX = re.compile(r"[^\0- \x7f\ufffd]*")
REFUSED = {"serde", "serializer", "deserializer", "hasher"}
"""Names that would change the stored bytes, or the server that a key belongs to."""


class MemcachedOptions(Options, frozen=True, kw_only=True):
    """Options of a ``memcached://`` URL."""

    connect_timeout: Annotated[
        _Seconds, option("Seconds to wait for a connection; 5 by default.")
    ] = None
    timeout: Annotated[_Seconds, option("Seconds to wait for an answer; 5 by default.")] = None
    key_prefix: Annotated[
        str | None, option("Text that is put in front of each key on the server.")
    ] = None
    item_size_max: Annotated[
        int,
        msgspec.Meta(ge=1024),
        option("The servers' limit for an item in bytes: the value of memcached's option -I."),
    ] = 1024 * 1024
    tls: Annotated[bool, option("Encrypt the connections.")] = False
    tls_ca_file: Annotated[
        str | None,
        option("PEM file of the certificate authorities to trust; the system's by default."),
    ] = None
    tls_cert_file: Annotated[str | None, option("PEM file of the client's certificate.")] = None
    tls_key_file: Annotated[
        str | None,
        option("PEM file of the client's private key, if tls_cert_file does not contain it."),
    ] = None
    cache_backend_options: Annotated[
        dict[str, Any] | None,
        option(
            "Celery's arguments for the driver; timeouts, no_delay, socket_keepalive, tls_context, "
            "key_prefix, username and password are used.",
            setting="cache_backend_options",
            secret=True,
        ),
    ] = None

    def prefix(self) -> str:
        """The text in front of each key: the URL's, else the one in Celery's setting.

        Raises `ConfigurationError` for one that is too long, or no part of a key.
        """
        given = self.key_prefix or (self.cache_backend_options or {}).get("key_prefix", "")
        text = given.decode(errors="replace") if isinstance(given, bytes) else str(given)
        if len(text.encode()) > PREFIX_BYTES or not PREFIX.fullmatch(text):
            raise ConfigurationError(
                f"key_prefix must have at most {PREFIX_BYTES} bytes of UTF-8, without blanks, line "
                "breaks and control characters, which end a key in memcached's protocol"
            )
        return text

    def login(self, url: StoreURL) -> Secret | None:
        """The user and password as memcached reads them: the URL's, else those of the setting.

        Raises `ConfigurationError` if one of the two is missing.
        """
        given = self.cache_backend_options or {}
        user, password = url.username, url.password and url.password.reveal()
        if user is None and password is None:
            user, password = given.get("username"), given.get("password")
        if user is None and password is None:
            return None
        if not user or not password:
            raise ConfigurationError(
                "memcached needs a user and a password, and only one of them is given: write "
                "memcached://user:password@host, or set both in cache_backend_options"
            )
        return Secret(f"{user} {password}")

    def for_driver(self) -> dict[str, Any]:
        """The arguments of pymemcache's ``Client``; a URL's option overrides the setting.

        Raises `ConfigurationError` for an argument that would make results unreadable to others.
        """
        given = self.cache_backend_options or {}
        if refused := sorted(REFUSED & given.keys()):
            raise ConfigurationError(
                f"cache_backend_options: {', '.join(refused)} is not supported, because workers "
                "and clients without it could not read the results; remove it"
            )
        names = "tls_ca_file", "tls_cert_file", "tls_key_file"
        check_files({name: getattr(self, name) for name in names})
        own = {"connect_timeout": self.connect_timeout, "timeout": self.timeout}
        kept = {name: given[name] for name in KEPT & given.keys()} | {
            name: seconds for name, seconds in own.items() if seconds is not None
        }
        made = DEFAULTS | {name: value for name, value in kept.items() if value is not None}
        for name in own:
            if not (isinstance(made[name], int | float) and made[name] > 0):
                raise InvalidOption(f"cache_backend_options: {name} is not a number of seconds")
        return made

    def tls_context(self) -> ssl.SSLContext | None:
        """A context with the files of the options, or None without TLS."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.tls_ca_file)
        if self.tls_cert_file is not None:
            context.load_cert_chain(self.tls_cert_file, self.tls_key_file)
        return context
