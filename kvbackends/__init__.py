"""Celery results in any key-value store, chosen by URL, with every feature on every store.

This is the whole public surface; the submodules that `docs/` names are public too.
"""

import importlib
from typing import TYPE_CHECKING, Any

from kvbackends._version import __version__

if TYPE_CHECKING:
    from kvbackends.backend import BaseKeyValueStoreBackend, aget, open_backend
    from kvbackends.errors import (
        ConfigurationError,
        InvalidOption,
        KVBackendsError,
        NotSupported,
        StoreError,
        StoreUnavailable,
        UnknownOption,
        UnknownScheme,
        ValueTooLarge,
    )
    from kvbackends.options import Options, option
    from kvbackends.plugins import Adapter, hookimpl, open_store, register, unregister
    from kvbackends.process import Doorbell, PerProcess, Recent
    from kvbackends.records import (
        SIZE_PLACE,
        Arrival,
        Entry,
        Feature,
        Limits,
        Offer,
        Outcome,
        Part,
        Rank,
        RankOf,
        Subscription,
    )
    from kvbackends.store import Store
    from kvbackends.url import Host, Secret, StoreURL

__all__ = [
    "SIZE_PLACE",
    "Adapter",
    "Arrival",
    "BaseKeyValueStoreBackend",
    "ConfigurationError",
    "Doorbell",
    "Entry",
    "Feature",
    "Host",
    "InvalidOption",
    "KVBackendsError",
    "Limits",
    "NotSupported",
    "Offer",
    "Options",
    "Outcome",
    "Part",
    "PerProcess",
    "Rank",
    "RankOf",
    "Recent",
    "Secret",
    "Store",
    "StoreError",
    "StoreURL",
    "StoreUnavailable",
    "Subscription",
    "UnknownOption",
    "UnknownScheme",
    "ValueTooLarge",
    "__version__",
    "aget",
    "hookimpl",
    "open_backend",
    "open_store",
    "option",
    "register",
    "unregister",
]

_HOMES = {
    "backend": ("BaseKeyValueStoreBackend", "aget", "open_backend"),
    "errors": (
        "ConfigurationError",
        "InvalidOption",
        "KVBackendsError",
        "NotSupported",
        "StoreError",
        "StoreUnavailable",
        "UnknownOption",
        "UnknownScheme",
        "ValueTooLarge",
    ),
    "options": ("Options", "option"),
    "process": ("Doorbell", "PerProcess", "Recent"),
    "plugins": ("Adapter", "hookimpl", "open_store", "register", "unregister"),
    "records": (
        "SIZE_PLACE",
        "Arrival",
        "Entry",
        "Feature",
        "Limits",
        "Offer",
        "Outcome",
        "Part",
        "Rank",
        "RankOf",
        "Subscription",
    ),
    "store": ("Store",),
    "url": ("Host", "Secret", "StoreURL"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    # Each name is imported when it is first used: an application that imports this package beside
    # Celery pays nothing until it opens the backend, and an adapter never imports Celery.
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"kvbackends.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
