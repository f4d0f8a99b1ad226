"""Celery results in any key-value store, chosen by URL, with every feature on every store.

This is the whole public surface; the submodules that `docs/` names are public too.
"""

from typing import TYPE_CHECKING, Any

from kvbackends._version import __version__
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

if TYPE_CHECKING:
    from kvbackends.backend import BaseKeyValueStoreBackend, aget, open_backend

__all__ = [
    "SIZE_PLACE",
    "Adapter",
    "Arrival",
    "BaseKeyValueStoreBackend",
    "ConfigurationError",
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
    "Rank",
    "RankOf",
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

_KNOW_CELERY = frozenset({"BaseKeyValueStoreBackend", "aget", "open_backend"})


def __getattr__(name: str) -> Any:
    # Late, so that adapters and command-line tools do not import Celery.
    if name not in _KNOW_CELERY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kvbackends import backend

    return getattr(backend, name)
