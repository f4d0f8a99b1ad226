"""A store that takes small values only: SQLite with a limit.

Its scheme differs from that of the small store in `tests/backend`: both may be registered in one
process.
"""

from kvbackends.contract import Adapter, Limits, hookimpl
from kvbackends.stores.sqlite.store import SQLiteStore


class SmallStore(SQLiteStore):
    limits = Limits(value_bytes=20_000)


@hookimpl
def kvbackends_adapters():
    url = "limited:///results.db"
    return [Adapter(schemes=("limited",), store=SmallStore, summary="small values", example=url)]
