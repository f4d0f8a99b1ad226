"""Parses a store's URL, and prints it without secrets."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, quote, unquote

from kvbackends.errors import ConfigurationError

_MASK = "**"
_SECRET_NAME = re.compile(r"pass|pw|secret|token|key|auth|cred|sig", re.IGNORECASE)
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*")
_SEPARATOR = re.compile("[,;]")
_NEXT_HOST = re.compile(rf"[,;]{_SCHEME.pattern}://")
_NOT_ENCODED = re.compile(r"[#@]|%(?![0-9a-fA-F]{2})")
_TO_ENCODE = (
    "the user name or password in a store's URL has a character that must be percent-encoded: "
    "# as %23, % as %25, / as %2F, ? as %3F, @ as %40"
)


class Secret(str):
    """A string that `str`, `repr` and formatting show as ``**``; `reveal` returns its text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{_MASK}'"

    def __str__(self) -> str:
        return _MASK

    def __format__(self, spec: str) -> str:
        return _MASK

    def __reduce__(self) -> tuple[type["Secret"], tuple[str]]:
        return Secret, (self.reveal(),)

    def reveal(self) -> str:
        """Return the text, for the driver, as a plain `str`."""
        return "".join(self)


@dataclass(frozen=True, slots=True)
class Host:
    """One server of a URL, which may name several.

    Attributes:
        name: Name or address; without brackets if it is IPv6.
        port: None: the store's own.
    """

    name: str
    port: int | None = None

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port is None else f"{name}:{self.port}"


@dataclass(frozen=True, slots=True)
class StoreURL:
    """``scheme://user:password@host:port,host/path?option=value``; `str` masks secrets.

    Attributes:
        scheme: In lower case, without ``kv+``.
        hosts: The servers, in the URL's order.
        username: Unquoted; None if the URL has none.
        password: Unquoted; None if the URL has none.
        path: The text after the first slash behind the hosts, unquoted: "a.db" of
            ``sqlite:///a.db``.
        query: The options as text.
        raw: The URL as written, without ``kv+``, for drivers that parse it themselves
            (MongoDB's).
        secret_options: Options that are masked, beside those whose names or values look like
            secrets.
    """

    scheme: str
    hosts: tuple[Host, ...] = ()
    username: str | None = None
    password: Secret | None = None
    path: str = ""
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    raw: Secret = field(default=Secret(), repr=False)
    secret_options: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def parse(cls, text: str) -> "StoreURL":
        """Parse ``x://…`` or ``kv+x://…``.  Raises `ConfigurationError` if it is malformed.

        Blanks and line breaks around it are ignored.
        """
        raw = text.strip().removeprefix("kv+")
        scheme, separator, rest = raw.partition("://")
        if not separator or not _SCHEME.fullmatch(scheme):
            raise ConfigurationError(
                "a store's URL looks like scheme://host/path?option=value, for example "
                "sqlite:///results.db; the given text has no 'scheme://'"
            )
        rest, _, query = rest.partition("?")
        # `a;sentinel://:pw@b` repeats the scheme, and perhaps credentials, in front of each host.
        *others, last = _NEXT_HOST.split(rest)
        authority, _, path = last.partition("/")
        servers = [*(other.partition("/")[0] for other in others), authority]
        options = dict(parse_qsl(query, keep_blank_values=True))
        credentials = _split(servers[0])[0]
        misplaced = (authority and "@" in path) or any("@" in name for name in options)
        if misplaced or _NOT_ENCODED.search(credentials):
            raise ConfigurationError(_TO_ENCODE)
        username, has_password, password = credentials.partition(":")
        return cls(
            scheme=scheme.lower(),
            hosts=tuple(_host(each) for server in servers for each in _split(server)[1] if each),
            username=unquote(username) or None,
            password=Secret(unquote(password)) if has_password else None,
            path=unquote(path),
            query=options,
            raw=Secret(raw),
        )

    def at_path(self, path: str) -> "StoreURL":
        """Return the URL with another path; `raw`, too."""
        query = self.raw.reveal().partition("?")[1:]
        base = f"{self.scheme}://{','.join(map(str, self.hosts))}/{quote(path)}"
        return replace(self, path=path, raw=Secret(base + "".join(query)))

    def redacted(self, text: str) -> str:
        """`text` without the URL's password and secret options."""
        secrets = [self.password.reveal()] if self.password else []
        secrets += [value for name, value in self.query.items() if self._hides(name)]
        for secret in filter(None, secrets):
            # Drivers may quote the URL, where the secret is percent-encoded.
            text = text.replace(secret, _MASK).replace(quote(secret, safe=""), _MASK)
        return text

    def __str__(self) -> str:
        user = quote(self.username or "") + (f":{_MASK}" if self.password is not None else "")
        hosts = ",".join(map(str, self.hosts))
        query = "&".join(
            f"{name}={_MASK if self._hides(name) else quote(text, safe='/:,')}"
            for name, text in self.query.items()
        )
        return (
            f"{self.scheme}://{user}{'@' if user else ''}{hosts}"
            f"{'/' if self.path else ''}{quote(self.path)}"
            f"{'?' if query else ''}{query}"
        )

    def _hides(self, name: str) -> bool:
        text = self.query[name]
        # A value with "@" may be a URL with credentials; one with "{" may be JSON with a password.
        looks_secret = _SECRET_NAME.search(name) or "@" in text or text.lstrip().startswith("{")
        return name in self.secret_options or bool(looks_secret)


def _split(server: str) -> tuple[str, list[str]]:
    """Return the credentials and the hosts.  A password may contain the hosts' separators."""
    before, _, after = server.rpartition("@")
    hosts = [name.rpartition("@") for name in _SEPARATOR.split(server)]
    repeated = [each for each, at, _ in hosts if at]
    if len(repeated) < 2:
        return before, _SEPARATOR.split(after)
    if len(set(repeated)) > 1:
        raise ConfigurationError(
            "the hosts in a store's URL have different user names or passwords; all hosts share "
            "one, in which , is written as %2C, ; as %3B and @ as %40"
        )
    return repeated[0], [host for _, _, host in hosts]


def _host(text: str) -> Host:
    if text.lower() == "unix:":
        raise ConfigurationError(
            "a Unix socket is named by its whole path after three slashes: redis+socket:///run/"
            "redis.sock or memcached:///run/memcached.sock"
        )
    if _is_ipv6(text):
        raise ConfigurationError(
            f"an IPv6 address in a store's URL is written in brackets: [{text}] or [::1]:6379"
        )
    name, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return Host(text.strip("[]"))
    if not port.isdecimal():
        raise ConfigurationError("the port in a store's URL must be a number, as in host:6379")
    if ":" in name and not name.endswith("]"):
        raise ConfigurationError(
            f"{text} looks like host:port:weight, but weights are not supported: each server gets "
            "the same share of the keys. Leave the weight out"
        )
    return Host(name.strip("[]"), int(port))


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False
