"""Celery results in any key-value store, chosen by URL, with every feature on every store.

These are the names that an application uses.  What an adapter's author needs is in
`kvbackends.contract`, the conformance suite in `kvbackends.testing`.
"""

import importlib as _importlib
import typing as _typing

from kvbackends._version import __version__ as __version__
from kvbackends.errors import ConfigurationError as ConfigurationError
from kvbackends.errors import InvalidOption as InvalidOption
from kvbackends.errors import KVBackendsError as KVBackendsError
from kvbackends.errors import NotSupported as NotSupported
from kvbackends.errors import StoreError as StoreError
from kvbackends.errors import StoreUnavailable as StoreUnavailable
from kvbackends.errors import UnknownOption as UnknownOption
from kvbackends.errors import UnknownScheme as UnknownScheme
from kvbackends.errors import ValueTooLarge as ValueTooLarge
from kvbackends.plugins import open_store as open_store
from kvbackends.plugins import register as register
from kvbackends.plugins import unregister as unregister

if _typing.TYPE_CHECKING:
    from kvbackends.backend import BaseKeyValueStoreBackend as BaseKeyValueStoreBackend
    from kvbackends.backend import achanges as achanges
    from kvbackends.backend import aget as aget
    from kvbackends.backend import open_backend as open_backend

_OF_THE_BACKEND = ("BaseKeyValueStoreBackend", "achanges", "aget", "open_backend")


def __dir__() -> list[str]:
    return [*globals(), *_OF_THE_BACKEND]


def __getattr__(name: str) -> _typing.Any:
    # The backend imports Celery, which adapters and the conformance command do without.
    if name in _OF_THE_BACKEND:
        return getattr(_importlib.import_module("kvbackends.backend"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
