"""A store with the five methods and nothing else: what every derived operation has to run on."""

import itertools
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Any, ClassVar, NamedTuple, Self

from kvbackends.contract import Adapter, Entry, Feature, Store, StoreURL, hookimpl
from kvbackends.contract.process import PerProcess


class Row(NamedTuple):
    value: bytes
    version: int
    expires: float


class DictStore(Store):
    """A dictionary behind a lock, with a clock that tests may replace."""

    promises = Feature.NONE

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.rows: dict[str, Row] = {}
        self._lock = PerProcess(threading.Lock)
        self._versions = itertools.count(1)

    @classmethod
    def from_url(cls, url: StoreURL, options: Any) -> Self:
        return cls()

    def get(self, key: str) -> Entry | None:
        row = self._row(key)
        return None if row is None else Entry(row.value, row.version)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        with self._lock():
            self._put(key, value, ttl)

    def delete(self, key: str) -> None:
        with self._lock():
            self.rows.pop(key, None)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        with self._lock():
            row = self._row(key)
            if (row and row.version) != version:
                return False
            self._put(key, value, ttl)
            return True

    def _row(self, key: str) -> Row | None:
        row = self.rows.get(key)
        return row if row is not None and row.expires > self.clock() else None

    def _put(self, key: str, value: bytes, ttl: float | None) -> None:
        expires = float("inf") if ttl is None else self.clock() + ttl
        self.rows[key] = Row(value, next(self._versions), expires)


class NamedDictStore(DictStore):
    """``dict://name``: those of one name are one store."""

    _named: ClassVar[dict[str, Self]] = {}

    @classmethod
    def from_url(cls, url: StoreURL, options: Any) -> Self:
        return cls._named.setdefault(f"{cls.__name__} {url}", cls())


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    yield Adapter(
        schemes=("dict",), store=NamedDictStore, summary="a dictionary", example="dict://name"
    )
