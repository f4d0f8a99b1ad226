"""The hooks that a plugin implements."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pluggy

from kvbackends.contract.store import Store
from kvbackends.contract.url import StoreURL

hookspec = pluggy.HookspecMarker("kvbackends")
hookimpl = pluggy.HookimplMarker("kvbackends")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """Describes a store to the registry.  Its options are declared by `Store.options_type`.

    Attributes:
        schemes: The URL schemes that the store serves, without ``kv+``.
        store: The class that `open_store` opens.
        summary: One line for lists of stores.
        example: A URL to start from.
    """

    schemes: tuple[str, ...]
    store: type[Store]
    summary: str
    example: str


Layering = Callable[[Store], Store]
"""Returns a store wrapped in a layer; see `kvbackends.layers.layer.Layer`."""


@hookspec
def kvbackends_adapters() -> Iterable[Adapter]:  # type: ignore[empty-body]
    """Return the plugin's adapters.

    Entry-point group ``kvbackends.stores``, with one entry point for each scheme.
    """


@hookspec
def kvbackends_layers(url: StoreURL) -> Iterable[Layering]:  # type: ignore[empty-body]
    """Return the plugin's layers for the store at `url`, outermost first.

    Entry-point group ``kvbackends.layers``.  If a layer cannot be loaded or cannot wrap the store,
    no store is opened: without an encryption layer plain text would be stored.
    """
