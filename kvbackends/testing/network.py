"""The network of a store under test: a proxy stands between it and its server."""

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from kvbackends import NotSupported, open_store
from kvbackends.contract import Store, StoreURL
from kvbackends.contract.deadline import within
from kvbackends.errors import ConfigurationError
from kvbackends.layers.layer import innermost
from kvbackends.layers.only_five import OnlyFive
from kvbackends.plugins.registry import installed
from kvbackends.testing.leftovers import new_key, noted
from kvbackends.testing.proxy import HERE, Proxy

BOUND = 1.0
"""Seconds that a call has while its server is away."""
TLS = ("tls=true", "sslmode=require", "ssl=true")
"""Options that ask for it, as adapters name them."""
Through = Callable[[str, str, int], str]


def replaced(url: str, host: str, port: int) -> str:
    """Return the URL with this address in the place of its only server's.

    Raises `NotSupported` for a URL with no server, or several.
    """
    parsed = StoreURL.parse(url)
    if len(parsed.hosts) != 1:
        raise NotSupported(f"its URL names {len(parsed.hosts) or 'no'} servers")
    begin, _, rest = parsed.raw.reveal().partition("://")
    authority = rest.partition("?")[0].partition("/")[0]
    user, at, _ = authority.rpartition("@")
    return f"{begin}://{user}{at}{host}:{port}{rest[len(authority) :]}"


class Network:
    """A store whose URL names a proxy, and that proxy."""

    def __init__(
        self, url: str, proxy: Proxy, settings: Mapping[str, Any], *, derived: bool
    ) -> None:
        self.url = url
        self.proxy = proxy
        self._settings = dict(settings)
        self._derived = derived
        self._opened: list[Store] = []

    def opened(self, url: str = "") -> Store:
        """A new store behind the proxy, or at another URL; closed at the end."""
        store = open_store(url or self.url, self._settings)
        noted(innermost(store))
        self._opened.append(OnlyFive(store) if self._derived and store.native else store)
        return noted(self._opened[-1])

    def close(self) -> None:
        """Close all opened stores."""
        for each in self._opened:
            with suppress(Exception):  # a broken store may raise anything
                each.close()

    def is_passed_by(self) -> bool:
        """True if a store with the proxy's address goes to another one as well."""
        store, key = self.opened(), new_key()
        store.set(key, b"there")
        if not self.proxy.answered:
            return True
        self.proxy.refuse()
        try:
            entry = within(BOUND, store.get, key)
        except Exception:  # noqa: BLE001 - whatever its driver raises
            return False
        finally:
            self.proxy.listen()
        return entry is not None

    def encrypted(self) -> str:
        """The URL with TLS, by the usual names of schemes and options; empty if none is known."""
        begin, _, rest = self.url.partition("://")
        mark = "&" if "?" in rest else "?"
        schemes = [each for each in (f"{begin}s", f"{begin}+https") if each in installed()]
        urls = [f"{each}://{rest}" for each in schemes]
        urls += [f"{self.url}{mark}{each}" for each in TLS]
        for url in urls:
            with suppress(ConfigurationError):
                self.opened(url)
                return url
        return ""


@contextmanager
def network(
    store: Store, url: str, through: Through, settings: Mapping[str, Any], *, derived: bool
) -> Iterator[Network]:
    """Put a proxy before the store's server; raises `NotSupported` where that cannot be done."""
    server = innermost(store).server
    hosts = StoreURL.parse(url).hosts
    if server is None and (not hosts or hosts[0].port is None):
        raise NotSupported("lacking: without a server, or its URL names no port")
    address = (server.host, server.port) if server else (hosts[0].name, hosts[0].port or 0)
    with Proxy(*address) as proxy:
        made = Network(through(url, HERE, proxy.port), proxy, settings, derived=derived)
        try:
            if made.is_passed_by():
                raise NotSupported("its driver goes to other addresses than its URL's")
            yield made
        finally:
            proxy.listen()
            made.close()


def error_of(call: Callable[..., object], *args: object, seconds: float = BOUND) -> Exception:
    """Return the error of a call that has so many seconds; fails if it returns."""
    try:
        answer = within(seconds, call, *args)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
        return error
    raise AssertionError(f"it answered {answer!r}, and the server cannot be reached")


def shown_of(error: BaseException) -> str:
    """Return all that a log could show of an error: its chain of causes, and their `repr`."""
    chain = traceback.TracebackException.from_exception(error)
    texts = ["".join(chain.format())]
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        texts.append(f"{cause!r} {cause} {cause.args!r}")
        cause = cause.__cause__ or cause.__context__
    return "\n".join(texts)
