"""A store that takes small values only: SQLite with a limit."""

from kvbackends.contract import Adapter, Limits, hookimpl
from kvbackends.stores.sqlite.store import SQLiteStore


class SmallStore(SQLiteStore):
    limits = Limits(value_bytes=20_000)


@hookimpl
def kvbackends_adapters():
    example = "small:///results.db"
    return [Adapter(schemes=("small",), store=SmallStore, summary="small values", example=example)]
