"""Lists results: found by the store where it can, else scanned and decoded in batches."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import msgspec

from kvbackends.admin.records import ResultInfo, Wanted
from kvbackends.backend.backend import BaseKeyValueStoreBackend
from kvbackends.backend.ranks import state_in_head
from kvbackends.contract.derived import get_many
from kvbackends.contract.records import Feature
from kvbackends.errors import StoreUnavailable

T = TypeVar("T")

AT_ONCE = 500
"""Records in memory at a time."""
UNREADABLE = "UNREADABLE"


class _Head(msgspec.Struct):
    """The fields of a list; a result of any size beside them is skipped."""

    status: str
    date_done: Any = None
    name: str | None = None
    worker: str | None = None


_heads = msgspec.json.Decoder(_Head).decode


class Results:
    """The records of one backend.

    Args:
        backend: The backend whose store and encoding they have.
    """

    def __init__(self, backend: BaseKeyValueStoreBackend) -> None:
        self._backend = backend
        self._is_json = backend.serializer == "json"

    def each(self, wanted: Wanted) -> Iterator[tuple[ResultInfo, bytes]]:
        """Each wanted result with its stored bytes, in no order, in constant memory.

        Raises `NotSupported` where the store cannot list.
        """
        store, prefix = self._backend.store, self._backend.task_prefix
        found = self._found(wanted)
        # What was found by a facet need not have it in its record, without `result_extended`.
        left = wanted if found is None else msgspec.structs.replace(wanted, task=None, worker=None)
        every = left == Wanted()
        keys: Iterator[str] = (key for key in found or () if key.startswith(prefix))
        if found is None:
            keys = listed(self._backend, lambda: store.scan(prefix))
        for some in batches(keys, AT_ONCE):
            for key, value in get_many(store, some):
                info = self.info(key.removeprefix(prefix), value)
                if every or matches(info, left):
                    yield info, value

    def _found(self, wanted: Wanted) -> Iterable[str] | None:
        store, facets = self._backend.store, wanted.facets
        found = store.find(facets) if facets and Feature.FACETS in store.features else None
        return None if found is None else listed(self._backend, partial(iter, found))

    def info(self, task_id: str, value: bytes) -> ResultInfo:
        """The line of a record; a record that cannot be read is UNREADABLE, or has a state only."""
        head = self._head(value)
        done = moment(head.date_done)
        return ResultInfo(
            task_id, head.status, head.name or "", head.worker or "", done, len(value)
        )

    def _head(self, value: bytes) -> _Head:
        try:
            if self._is_json:
                return _heads(value)
        except msgspec.MsgspecError:
            pass  # NaN, another encoding, or compressed: the backend reads it
        try:
            return msgspec.convert(self._backend.decode(value), _Head)
        except Exception:  # noqa: BLE001 - whatever a serializer raises for bytes it does not understand
            return _Head(state_in_head(value) or UNREADABLE)


def matches(info: ResultInfo, wanted: Wanted) -> bool:
    """True if the result is among the wanted ones."""
    for have, want in (
        (info.state, wanted.state),
        (info.task, wanted.task),
        (info.worker, wanted.worker),
    ):
        if want and have != want:
            return False
    if wanted.since is None and wanted.until is None:
        return True
    done, since, until = info.done, wanted.since, wanted.until
    return done is not None and not (since and done < since) and not (until and done > until)


def moment(value: Any) -> datetime | None:
    """The time that a record's ``date_done`` is; without a zone it is UTC.  None if it is none."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if not isinstance(found, datetime):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def listed(backend: BaseKeyValueStoreBackend, ask: Callable[[], Iterable[str]]) -> Iterator[str]:
    """Yield what the store lists.

    Raises `StoreUnavailable` where its server is away: lists are not retried.
    """
    try:
        yield from ask()
    except backend.store.transient_errors as error:
        raise StoreUnavailable(f"{backend.as_uri()} cannot be reached: {error}") from error


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items, at most `size` at a time."""
    rest = iter(items)
    while some := list(itertools.islice(rest, size)):
        yield some
