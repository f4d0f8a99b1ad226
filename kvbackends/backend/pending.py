"""Result objects: their tasks, and the pending ones that receive a record."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any
from weakref import ref

from celery.result import ResultSet

from kvbackends.backend.fallback import Finals, OldRecords
from kvbackends.backend.results import PENDING, Results
from kvbackends.contract.derived import get_many

Meta = dict[str, Any]


class Pending(Results):
    """Weak references to the results that are pending, by their ids."""

    def _prepare_pending(self) -> None:
        # Celery 5.6 has a weak dictionary here, which would drop our values.
        self._pending_results = self._pending_results._replace(weak={})

    def add_pending_result(
        self, result: Any, weak: bool = False, start_drainer: bool = True
    ) -> Any:
        """Remember, weakly, that `result` is pending.  No I/O and no thread."""
        by_id = self._pending_results.weak
        # A `WeakValueDictionary` for each result costs as much as decoding it.
        forget = partial(_forget, by_id, result.id, id(result))
        by_id.setdefault(result.id, {})[id(result)] = ref(result, forget)
        return result

    def add_pending_results(self, results: Iterable[Any], weak: bool = False) -> Any:
        """Remember several results, as `add_pending_result` does."""
        return [self.add_pending_result(result, weak) for result in results]

    def remove_pending_result(self, result: Any) -> Any:
        """Forget `result`.  Called by finalisers: no I/O, no lock."""
        _forget(self._pending_results.weak, result.id, id(result))
        return result

    def on_result_fulfilled(self, result: Any) -> None:
        """Do nothing: no resource is kept for a result."""

    def _metas(self, found: Sequence[tuple[str, bytes]]) -> Iterable[Meta]:
        """The records of keys that were found here or in the old place."""
        if isinstance(found, OldRecords):
            return found.metas
        return self.decoded([value for _, value in found])

    def _deliver(self, task_id: str, meta: Meta) -> None:
        self._cache[task_id] = meta
        for asking in list(self._pending_results.weak.get(task_id, {}).values()):
            result = asking()
            if result is not None:
                result._maybe_set_cache(meta)

    def _deliver_changes(
        self, keys: dict[str, str], found: Iterable[tuple[str, bytes]]
    ) -> Iterator[Meta]:
        """Yield the records that were found; final ones are delivered and removed from `keys`."""
        for key, value in found:
            if key in keys:
                meta = self.decode_result(value)
                if self.ranks.is_final(value):
                    self._deliver(keys.pop(key), meta)
                yield meta

    def _deliver_old(self, keys: dict[str, str], old: Finals) -> Iterable[Meta]:
        """Deliver those of `keys` that are in the old place, and return their records."""
        found = old.read(dict(keys))
        for (key, _), meta in zip(found, found.metas, strict=True):
            if key in keys:
                self._deliver(keys.pop(key), meta)
        return found.metas

    def old_finals(self) -> Finals | None:
        """The reads in the old place for one wait; None if there is no old place."""
        return Finals(self.fallback) if self.fallback else None

    def _deliver_all(self, keys: dict[str, str], found: Iterable[tuple[str, bytes]]) -> None:
        """Deliver those of `keys` that were found, and remove them from `keys`."""
        for key, value in found:
            if key in keys:
                self._deliver(keys.pop(key), self.decode_result(value))

    def _records(self, ids: Iterable[str], old: Finals | None) -> dict[str, Meta]:
        keys = self.keys_of(ids)
        found = list(get_many(self.store, keys))
        metas = self.decoded([value for _, value in found])
        known = dict(zip((keys.pop(key) for key, _ in found), metas, strict=True))
        if old and keys:
            read = old.read(keys)
            known.update(zip((keys.pop(key) for key, _ in read), read.metas, strict=True))
        known.update((each, dict(PENDING)) for each in keys.values())
        return known


def _forget(by_id: dict[str, dict[int, Any]], task_id: str, number: int, *_: Any) -> None:
    asking = by_id.get(task_id)
    if asking is not None:
        asking.pop(number, None)
        if not asking:
            by_id.pop(task_id, None)


def is_set(result: Any) -> bool:
    """True for a group's result."""
    return isinstance(result, ResultSet)


def leaf_results(result: Any) -> list[Any]:
    """Return the results of the single tasks of a result."""
    if not isinstance(result, ResultSet):
        return [result]
    leaves = []
    for child in result.results:
        if isinstance(child, ResultSet):
            leaves += leaf_results(child)
        else:
            leaves.append(child)
    return leaves


def leaf_ids(result: Any) -> list[str]:
    """Return the ids of `leaf_results`, each once."""
    if not isinstance(result, ResultSet):
        return [result.id]
    return list(dict.fromkeys([leaf.id for leaf in leaf_results(result)]))


def parents(result: Any) -> Iterator[Any]:
    """Yield the results of the tasks before this one in its chain, nearest first."""
    node = result.parent
    while node is not None:
        yield node
        node = node.parent
