"""What a plugin may implement."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pluggy

from kvbackends.contract.store import Store
from kvbackends.contract.url import StoreURL

hookspec = pluggy.HookspecMarker("kvbackends")
hookimpl = pluggy.HookimplMarker("kvbackends")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """What a plugin says about one store.  Options and settings are on the store's options type."""

    schemes: tuple[str, ...]
    store: type[Store]
    summary: str
    example: str
    """A URL to start from."""


Layering = Callable[[Store], Store]
"""Wraps a store; see `kvbackends.layers.layer.Layer`."""


@hookspec
def kvbackends_adapters() -> Iterable[Adapter]:  # type: ignore[empty-body]
    """The stores of this plugin.  Entry-point group ``kvbackends.stores``, one name per scheme."""


@hookspec
def kvbackends_layers(url: StoreURL) -> Iterable[Layering]:  # type: ignore[empty-body]
    """Layers for every store that is opened, first registered outermost.

    Entry-point group ``kvbackends.layers``; one that fails to load or to wrap is fatal, because a
    missing encryption layer must not store plain text.
    """
