"""Stores behind the layers under test."""

import os
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from kvbackends import StoreError, register
from kvbackends.contract import Adapter, Limits, Store, StoreURL, hookimpl
from kvbackends.layers.chunks import Chunks
from kvbackends.layers.codec import Codec
from kvbackends.layers.guard import Guard
from kvbackends.stores import memory, sqlite
from kvbackends.stores.sqlite.store import SQLiteStore
from tests.support.dict_store import NamedDictStore

LIMIT = 1000
"""The largest value, in bytes, of the limited stores."""
LARGEST = 100_000
"""The same of what is split: a thousand crumbs."""


class LimitedMemory(memory.MemoryStore):
    limits = Limits(value_bytes=LIMIT)


class LimitedDict(NamedDictStore):
    limits = Limits(value_bytes=LIMIT)


class LimitedSQLite(SQLiteStore):
    limits = Limits(value_bytes=LIMIT)


class Scrambled(Codec):
    """Encodes a value to other bytes each time, with every byte in another place."""

    overhead = 5

    def encode(self, value: bytes) -> bytes:
        return b"~" + os.urandom(4) + value[::-1]

    def decode(self, stored: bytes) -> bytes:
        if stored[:1] != b"~":
            raise StoreError("these bytes were never scrambled")
        return stored[5:][::-1]


class Crumbs(Chunks):
    """Splits values of more than three bytes, and so nearly all."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner, largest=LARGEST)
        self._size = 100

    def is_large(self, value: bytes) -> bool:
        return len(value) > 3


class Layered:
    """Opens a store by its URL, behind the layer under test."""

    layer: ClassVar[Callable[[Store], Store]]

    @classmethod
    def from_url(cls, url: StoreURL, options: Any) -> Store:
        return cls.layer(Guard(super().from_url(url, options)))  # type: ignore[misc]


def _scrambled_chunks(inner: Store) -> Store:
    return Scrambled(Chunks(inner))


def _scrambled_crumbs(inner: Store) -> Store:
    return Scrambled(Crumbs(inner))


class CrumbsMemory(Layered, LimitedMemory):
    layer = Crumbs


class CrumbsDict(Layered, LimitedDict):
    layer = Crumbs


class CrumbsSQLite(Layered, LimitedSQLite):
    layer = Crumbs


class ScrambledMemory(Layered, LimitedMemory):
    layer = staticmethod(_scrambled_chunks)


class ScrambledDict(Layered, LimitedDict):
    layer = staticmethod(_scrambled_chunks)


class ScrambledSQLite(Layered, LimitedSQLite):
    layer = staticmethod(_scrambled_crumbs)


SCHEMES: dict[str, type[Store]] = {
    "limited": LimitedMemory,
    "limited-sqlite": LimitedSQLite,
    "crumbs-memory": CrumbsMemory,
    "crumbs-dict": CrumbsDict,
    "crumbs-sqlite": CrumbsSQLite,
    "scrambled-memory": ScrambledMemory,
    "scrambled-dict": ScrambledDict,
    "scrambled-sqlite": ScrambledSQLite,
}


class LayeredStores:
    """The plugin that registers these stores."""

    @staticmethod
    @hookimpl
    def kvbackends_adapters() -> Iterable[Adapter]:
        for scheme, store in SCHEMES.items():
            yield Adapter(schemes=(scheme,), store=store, summary="for tests", example=scheme)


for _plugin in (LayeredStores, memory, sqlite):
    register(_plugin)
