"""Where `copy` reads from: a store of kvbackends, or one of Celery's own backends."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from kvbackends.admin.records import ResultInfo, Wanted
from kvbackends.admin.results import AT_ONCE, Results, batches, listed, matches
from kvbackends.backend.alone import app_of, celerys_backend
from kvbackends.backend.backend import BaseKeyValueStoreBackend
from kvbackends.backend.foreign import CELERYS, close, encoded, encoded_group
from kvbackends.backend.results import text
from kvbackends.contract.derived import get_many
from kvbackends.errors import NotSupported


class Item(NamedTuple):
    """A record on its way."""

    info: ResultInfo | None
    """None: a group."""
    id: str
    value: bytes
    ttl: float | None
    """Seconds that are left; None: for ever; 0 or less: it has expired."""


class Source:
    """Yields results and groups, in batches."""

    def tasks(self, wanted: Wanted) -> Iterator[list[Item]]:
        """The wanted results."""
        raise NotImplementedError

    def groups(self) -> Iterator[list[Item]]:
        """All groups."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections."""


class StoreSource(Source):
    """A store that lists; its bytes are copied as they are, and its times to live are kept."""

    def __init__(self, backend: BaseKeyValueStoreBackend) -> None:
        self._backend = backend
        self._results = Results(backend)
        self._groups = text(backend.group_keyprefix)

    def tasks(self, wanted: Wanted) -> Iterator[list[Item]]:
        """Scanned, read and filtered in batches."""
        backend = self._backend
        for some in batches(self._results.each(wanted), AT_ONCE):
            left = self._left([backend.key_of(info.id) for info, _ in some])
            yield [
                Item(info, info.id, value, self._ttl(backend.key_of(info.id), info, left))
                for info, value in some
            ]

    def groups(self) -> Iterator[list[Item]]:
        """Scanned and read in batches."""
        store, prefix = self._backend.store, self._groups
        for keys in batches(listed(self._backend, lambda: store.scan(prefix)), AT_ONCE):
            left = self._left(keys)
            yield [
                Item(None, key.removeprefix(prefix), value, self._ttl(key, None, left))
                for key, value in get_many(store, keys)
            ]

    def close(self) -> None:
        """Close the store."""
        self._backend.store.close()

    def _left(self, keys: list[str]) -> Mapping[str, float | None] | None:
        try:
            return self._backend.store.lifetimes(keys)
        except NotSupported:
            return None

    def _ttl(
        self, key: str, info: ResultInfo | None, left: Mapping[str, float | None] | None
    ) -> float | None:
        if left is None:
            return remaining(self._backend, info)
        return left.get(key, 0.0)


class CelerySource(Source):
    """One of Celery's own backends; its records are encoded anew, as the target does.

    Args:
        backend: Celery's.
        target: Encodes the records.
        ids: The ids of all tasks, and those of all groups.
    """

    def __init__(
        self,
        backend: Any,
        target: BaseKeyValueStoreBackend,
        ids: Callable[[Any], tuple[Iterator[str], Iterator[str]]],
    ) -> None:
        self._backend = backend
        self._target = target
        self._ids = ids
        self._results = Results(target)

    def tasks(self, wanted: Wanted) -> Iterator[list[Item]]:
        """One request for each."""
        for some in batches(self._ids(self._backend)[0], AT_ONCE):
            items = (self._item(each) for each in some)
            yield [each for each in items if each and each.info and matches(each.info, wanted)]

    def groups(self) -> Iterator[list[Item]]:
        """One request for each."""
        for some in batches(self._ids(self._backend)[1], AT_ONCE):
            found = ((each, encoded_group(self._backend, self._target, each)) for each in some)
            ttl = self._target.times.result
            yield [Item(None, each, value, ttl) for each, value in found if value is not None]

    def close(self) -> None:
        """Close Celery's connections."""
        close(self._backend)

    def _item(self, task_id: str) -> Item | None:
        value = encoded(self._backend, self._target, task_id)
        if value is None:
            return None
        info = self._results.info(task_id, value)
        return Item(info, task_id, value, remaining(self._target, info))


def remaining(backend: BaseKeyValueStoreBackend, info: ResultInfo | None) -> float | None:
    """What is left of the setting's time to live since the task ended, where no store tells it."""
    ttl = backend.times.result if info is None else backend.times.of_state(info.state)
    if ttl is None or info is None or info.done is None:
        return ttl
    return ttl - (time.time() - info.done.timestamp())


def open_source(url: str, target: BaseKeyValueStoreBackend) -> Source:
    """The source that a URL names.

    Without ``kv+`` the schemes in `CELERYS` stand for Celery's own form: kvbackends has another.
    """
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme not in CELERYS:
        return StoreSource(app_of(url, target.app).backend)
    return CelerySource(celerys_backend(url, target.app), target, CELERYS[scheme])
