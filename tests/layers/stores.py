"""Stores behind the layers that are tested here."""

import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from kvbackends import Adapter, Limits, Store, StoreError, hookimpl, open_store, register
from kvbackends.layers.chunks import Chunks
from kvbackends.layers.codec import Codec
from kvbackends.layers.guard import Guard
from kvbackends.layers.retry import Retry
from kvbackends.options import CoreOptions
from kvbackends.stores import memory, sqlite
from kvbackends.stores.sqlite.store import SQLiteStore
from tests.support.dict_store import DictStore

LIMIT = 1000
"""Bytes that the limited stores take."""

_names = itertools.count()
Opener = Callable[[], Store]


class LimitedMemory(memory.MemoryStore):
    limits = Limits(value_bytes=LIMIT)


class LimitedDict(DictStore):
    limits = Limits(value_bytes=LIMIT)


class LimitedSQLite(SQLiteStore):
    limits = Limits(value_bytes=LIMIT)


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    yield Adapter(
        schemes=("limited",), store=LimitedMemory, summary="small values", example="limited://"
    )
    yield Adapter(
        schemes=("limited-sqlite",), store=LimitedSQLite, summary="small values", example=""
    )


class LimitedStores:
    kvbackends_adapters = staticmethod(kvbackends_adapters)


for _plugin in (LimitedStores, memory, sqlite):
    register(_plugin)


class Scrambled(Codec):
    """Other bytes each time, and no byte where it was."""

    overhead = 5

    def encode(self, value: bytes) -> bytes:
        return b"~" + os.urandom(4) + value[::-1]

    def decode(self, stored: bytes) -> bytes:
        if stored[:1] != b"~":
            raise StoreError("these bytes were never scrambled")
        return stored[5:][::-1]


class Crumbs(Chunks):
    """Splits what is longer than three bytes, so that nearly everything is."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._size = 100

    def _is_large(self, value: bytes) -> bool:
        return len(value) > 3


def _around_memory(layer: Callable[[Store], Store]) -> Callable[[Path], Opener]:
    def opener(folder: Path) -> Opener:
        name = f"layers-{next(_names)}"
        return lambda: Retry(layer(Guard(LimitedMemory(name))), CoreOptions())

    return opener


def _around_dict(layer: Callable[[Store], Store]) -> Callable[[Path], Opener]:
    def opener(folder: Path) -> Opener:
        shared = LimitedDict()
        return lambda: Retry(layer(Guard(shared)), CoreOptions())

    return opener


def _around_sqlite(layer: Callable[[Store], Store]) -> Callable[[Path], Opener]:
    def opener(folder: Path) -> Opener:
        url = f"limited-sqlite:///{folder}/results.db"
        return lambda: Retry(layer(open_store(f"{url}?retry=0")), CoreOptions())

    return opener


STORES = {
    "crumbs-memory": _around_memory(Crumbs),
    "crumbs-five": _around_dict(Crumbs),
    "crumbs-sqlite": _around_sqlite(Crumbs),
    "scrambled-memory": _around_memory(lambda inner: Scrambled(Chunks(inner))),
    "scrambled-five": _around_dict(lambda inner: Scrambled(Chunks(inner))),
    "scrambled-crumbs-sqlite": _around_sqlite(lambda inner: Scrambled(Crumbs(inner))),
}
