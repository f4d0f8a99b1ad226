"""Stores results in one SQLite file, for all processes of one host: ``sqlite:///results.db``."""

from collections.abc import Iterable

from kvbackends.contract.plugin import Adapter, hookimpl
from kvbackends.stores.sqlite.store import SQLiteOptions, SQLiteStore

__all__ = ["SQLiteOptions", "SQLiteStore"]


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """Return the SQLite adapter."""
    yield Adapter(
        schemes=("sqlite",),
        store=SQLiteStore,
        summary="one file for all processes of a host, with nothing to install",
        example="sqlite:///results.db",
    )
