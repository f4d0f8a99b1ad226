"""The operators' side of one backend."""

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from kvbackends.admin.again import lacking, send
from kvbackends.admin.chords import Chords
from kvbackends.admin.details import Details
from kvbackends.admin.health import Health, examine
from kvbackends.admin.records import ChordInfo, Ended, Node, Page, ResultDetail, ResultInfo, Wanted
from kvbackends.admin.results import AT_ONCE, Results, batches
from kvbackends.backend.alone import app_of
from kvbackends.backend.backend import BaseKeyValueStoreBackend
from kvbackends.backend.broker import ask_broker
from kvbackends.contract.derived import delete_many, get_many
from kvbackends.contract.records import Outcome
from kvbackends.errors import ConfigurationError, NotSupported, StoreError

SWEPT = 1000
"""Keys that one call of `Store.sweep` removes at most."""


def _quietly(_count: int) -> None:
    """Show no progress."""


class Admin:
    """Lists, counts, deletes and explains the results and chords of an app's result backend.

    Where a store cannot list its keys (memcached), the methods that list raise `NotSupported`; a
    single result or chord is found by its id on every store.

    Args:
        app: A Celery application whose ``result_backend`` begins with ``kv+``.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        backend = app.backend
        if not isinstance(backend, BaseKeyValueStoreBackend):
            raise ConfigurationError(
                f"the app's result backend is {type(backend).__name__}, which is not one of "
                'kvbackends: write "kv+" in front of result_backend'
            )
        self.backend = backend
        self._results = Results(backend)
        self._details = Details(backend, self._results)
        self._chords = Chords(backend, self._results)

    @classmethod
    def open(cls, url: str) -> Self:
        """The store at `url`, without an application: JSON only, and nothing can be sent."""
        return cls(app_of(url))

    # -- results --------------------------------------------------------------------------------

    def results(
        self,
        *,
        state: str | None = None,
        task: str | None = None,
        worker: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
        sort: str | None = None,
        seen: Callable[[ResultInfo], object] | None = None,
    ) -> Page:
        """The newest `limit` results, or those that follow a page's cursor.

        Each page lists the store once, with no more than a page in memory.  `seen` is told each
        wanted result on the way, of all pages: whoever counts them need not list again.  With
        `sort`, the name of a field of `ResultInfo`, it is the first page by that field, the
        largest sizes and the first texts before the others; it has no cursor.
        """
        wanted = Wanted(state=state, task=task, worker=worker, since=since, until=until)
        after = _position(cursor)
        every = self.each(wanted) if seen is None else _telling(self.each(wanted), seen)
        if sort is not None and sort != "done":
            return Page(_sorted(every, sort, limit), None)
        found = (each for each in every if after is None or each.order < after)
        newest = heapq.nlargest(limit + 1, found, key=lambda each: each.order)
        shown = newest[:limit]
        more = len(newest) > limit and shown
        return Page(shown, _cursor(shown[-1]) if more else None)

    def each(self, wanted: Wanted | None = None) -> Iterator[ResultInfo]:
        """Every wanted result in no order, in constant memory."""
        return (info for info, _ in self._results.each(wanted or Wanted()))

    def named(self, ids: Iterable[str]) -> Iterator[ResultInfo]:
        """The results with these ids that are stored, read in batches."""
        for some in batches(ids, AT_ONCE):
            keys = self.backend.keys_of(some)
            for key, value in get_many(self.backend.store, list(keys)):
                yield self._results.info(keys[key], value)

    def records(self, wanted: Wanted | None = None) -> Iterator[tuple[ResultInfo, bytes]]:
        """`each`, with the stored bytes."""
        return self._results.each(wanted or Wanted())

    def result(self, task_id: str) -> ResultDetail | None:
        """All that is stored of one result, with its children; None if nothing is."""
        return self._details.one(task_id)

    def group(self, group_id: str) -> Node | None:
        """A group that was saved, with the states of its tasks; None: none was, under this id."""
        return self._details.group(group_id)

    def stored(self, detail: ResultDetail) -> datetime | None:
        """When the record was written, as its time to live tells; None where it does not."""
        ttl = self.backend.times.of_state(detail.info.state)
        if ttl is None or detail.expires_in is None or detail.expires_in > ttl + 1:
            return None
        return datetime.now(UTC) - timedelta(seconds=max(ttl - detail.expires_in, 0.0))

    def again(self, task_id: str) -> str:
        """Send the task again as a new task, whose parent is the old one; the new one's id.

        Raises `StoreError` if its record has not kept what is needed.  Needs an app with a broker;
        raises `BrokerUnavailable` if that does not answer.
        """
        detail = self.result(task_id)
        if (why := lacking(detail)) or detail is None:
            raise StoreError(f"{task_id} cannot be sent again: {why}")
        ask_broker(self.app)
        return send(self.app, detail)

    def count(
        self, by: Literal["state", "task", "worker"] = "state", wanted: Wanted | None = None
    ) -> Counter[str]:
        """How many results there are of each state, task or worker."""
        return Counter(getattr(each, by) for each in self.each(wanted))

    def delete(
        self,
        wanted: Wanted | None = None,
        *,
        ids: Iterable[str] | None = None,
        dry_run: bool = False,
        progress: Callable[[int], object] = _quietly,
    ) -> int:
        """Delete the wanted results, or those with these ids; how many.

        `progress` is told the number after each batch.  A waiter of a deleted result waits on.
        """
        if ids is None and wanted is None:
            raise ValueError("say which results: `ids`, or `wanted` (Wanted() is all of them)")
        named = ids if ids is not None else (each.id for each in self.each(wanted))
        count = 0
        for some in batches(named, AT_ONCE):
            keys = list(self.backend.keys_of(some))
            if not dry_run:
                delete_many(self.backend.store, keys)
            count += len(keys)
            progress(count)
        return count

    def sweep(self, progress: Callable[[int], object] = _quietly) -> int:
        """Remove expired keys where the store does not do it by itself; how many."""
        count = 0
        while removed := self.backend.store.sweep(SWEPT):
            count += removed
            progress(count)
        return count

    # -- chords ---------------------------------------------------------------------------------

    def chords(self) -> Iterator[ChordInfo]:
        """The chords in flight, in no order; `chord` knows more of one."""
        return self._chords.each()

    def chord(self, group_id: str) -> ChordInfo | None:
        """A chord in flight, with names and states of its missing parts; None: there is none."""
        return self._chords.one(group_id)

    def chord_of(self, body_id: str) -> ChordInfo | None:
        """The chord in flight whose body has this id, which is that of the awaited result.

        None: there is none, or the store cannot list.  Reads all chords.
        """
        try:
            found = next((each.id for each in self.chords() if each.body == body_id), None)
        except NotSupported:
            return None
        return self.chord(found) if found else None

    def ended(self, group_id: str) -> Ended | None:
        """What is stored of a chord that is not in flight; None if nothing is.

        Raises `NotSupported` where the store cannot list.  Reads all results.
        """
        return self._details.ended(group_id)

    def dispatch(self, group_id: str) -> Outcome:
        """Publish the body of a complete chord whose dispatcher was lost.

        WAITING: parts are missing, and nothing was done.  Where a claim is held this waits for its
        lease, in case the dispatcher lives.  Needs an app with a broker; raises
        `BrokerUnavailable`, and does nothing, if that does not answer.
        """
        ask_broker(self.app)
        return self._chords.dispatch(group_id)

    def abandon(self, group_id: str, reason: str = "given up by an operator") -> bool:
        """Fail the chord's body with `reason` and forget its parts; False: it is not in flight.

        Header tasks that still run store their results, and find the chord closed.
        """
        return self._chords.abandon(group_id, reason)

    # -- the store ------------------------------------------------------------------------------

    def health(self, timeout: float = 5.0, *, write: bool = False) -> Health:
        """Try what workers need, within `timeout` seconds; writes a key of its own if `write`."""
        return examine(self.backend, timeout, write=write)

    def latency(self) -> float:
        """Seconds that it takes now to read one key."""
        began = time.perf_counter()
        self.backend.store.get(f"{self.backend.task_prefix}kvbackends-latency")
        return time.perf_counter() - began

    def close(self) -> None:
        """Close the store's connections."""
        self.backend.store.close()


def _telling(
    results: Iterable[ResultInfo], seen: Callable[[ResultInfo], object]
) -> Iterator[ResultInfo]:
    for each in results:
        seen(each)
        yield each


def _sorted(results: Iterable[ResultInfo], by: str, limit: int) -> list[ResultInfo]:
    if by == "size":
        return heapq.nlargest(limit, results, key=lambda each: each.size)
    return heapq.nsmallest(limit, results, key=lambda each: (getattr(each, by), each.id))


def _cursor(last: ResultInfo) -> str:
    return f"{last.order[0]!r}|{last.id}"


def _position(cursor: str | None) -> tuple[float, str] | None:
    if not cursor:
        return None
    seconds, _, task_id = cursor.partition("|")
    return float(seconds), task_id
