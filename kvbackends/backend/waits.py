"""Celery's asynchronous result API over `kvbackends.protocol.waiting`."""

import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any
from weakref import ref

from celery import states
from celery.result import ResultSet

from kvbackends.backend.base import Base, text
from kvbackends.backend.compat import ResultTimeout
from kvbackends.backend.results import PENDING, prefetched
from kvbackends.derived.primitives import get_many
from kvbackends.errors import StoreUnavailable
from kvbackends.layers.retry import at_most
from kvbackends.process import PerProcess
from kvbackends.protocol.waiting import Hub, Wait

Meta = dict[str, Any]
SHORTEST_INTERVAL = 0.01
"""Seconds: with an interval of 0 a chord's parents would be read without a pause."""
SHORTEST_RETRIES = 1.0
"""Seconds that a store which is away is asked again, also by who does not want to wait."""
Callback = Callable[..., Any] | None


class Waits(Base):
    """Waiting, joining and delivering; results learn of theirs when this process reads it."""

    def _prepare_waits(self) -> None:
        self.hub = PerProcess(lambda: Hub(self.store, self.ranks.is_final), close=Hub.close)
        # Celery 5.6 keeps `weak` in a dictionary that would not hold what we put there.
        self._pending_results = self._pending_results._replace(weak={})
        self._recoveries_asked: dict[tuple[str, str], None] = {}

    # -- results that want to know --------------------------------------------------------------

    def add_pending_result(
        self, result: Any, weak: bool = False, start_drainer: bool = True
    ) -> Any:
        """Remember, weakly, who asks for this id.  No I/O and no thread."""
        by_id = self._pending_results.weak
        # A `WeakValueDictionary` for each result costs as much as decoding it.
        forget = partial(_forget, by_id, result.id, id(result))
        by_id.setdefault(result.id, {})[id(result)] = ref(result, forget)
        return result

    def add_pending_results(self, results: Iterable[Any], weak: bool = False) -> Any:
        """Remember several."""
        return [self.add_pending_result(result, weak) for result in results]

    def remove_pending_result(self, result: Any) -> Any:
        """Forget who asked.  Called by finalisers: no I/O, no lock."""
        _forget(self._pending_results.weak, result.id, id(result))
        return result

    def on_result_fulfilled(self, result: Any) -> None:
        """Nothing is held for a result."""

    def _deliver(self, task_id: str, meta: Meta) -> None:
        self._cache[task_id] = meta
        for asking in list(self._pending_results.weak.get(task_id, {}).values()):
            result = asking()
            if result is not None:
                result._maybe_set_cache(meta)

    # -- waiting --------------------------------------------------------------------------------

    def wait_for_pending(
        self,
        result: Any,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: Callback = None,
        on_interval: Callback = None,
        callback: Callback = None,
        propagate: bool = True,
        **_: Any,
    ) -> Any:
        """Wait for one result (or set), deliver it and raise or return its value.

        A parent's error wins over the result's own: `on_interval` looks for it, once for each
        `interval` and once more before a failed record is returned.
        """
        self._ensure_not_eager()
        look = self._parents_at_hand(result, on_interval)
        for _id, meta in self._collect(leaf_ids(result), timeout, interval, on_message, look):
            if meta["status"] in states.PROPAGATE_STATES and look is not None:
                look()
            if not is_set(result) and not result._cache:
                result._maybe_set_cache(meta)  # its own wait was forgotten meanwhile
        return result.maybe_throw(callback=callback, propagate=propagate)

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_interval: Callback = None,
    ) -> Meta:
        """The record of a task, as soon as it is final."""
        self._ensure_not_eager()
        return next(self._collect([task_id], timeout, interval, None, on_interval))[1]

    def get_many(
        self,
        task_ids: Iterable[str],
        timeout: float | None = None,
        interval: float | None = 0.5,
        no_ack: bool = True,
        on_message: Callback = None,
        on_interval: Callback = None,
        max_iterations: int | None = None,
        READY_STATES: Collection[str] = states.READY_STATES,  # noqa: N803 - Celery's name
    ) -> Iterator[tuple[str, Meta]]:
        """Records as they become final; with ``max_iterations=1`` those that are, without sleep."""
        ids = [text(task_id) for task_id in task_ids]
        if max_iterations is not None:
            timeout = (max_iterations - 1) * (interval or 0.5)
        found = self._collect(ids, timeout, interval or 0.5, on_message, on_interval)
        try:
            yield from found
        except ResultTimeout:
            if max_iterations is None:
                raise

    def iter_native(
        self,
        result: Any,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_message: Callback = None,
        on_interval: Callback = None,
        **_: Any,
    ) -> Iterator[tuple[str, Any]]:
        """The records of a set's members; a nested set once all of its leaves are there."""
        self._ensure_not_eager()
        members = leaf_results(result)
        nested = {node.id: (node, set(leaf_ids(node))) for node in result.results if is_set(node)}
        single = {node.id for node in result.results if not is_set(node)}
        for leaf in members:  # so that joining a nested set finds them in hand
            self.add_pending_result(leaf, weak=True)
        known = {leaf.id: leaf._cache for leaf in members if leaf._cache}
        asked = [leaf.id for leaf in members if leaf.id not in known]
        collected = self._collect(asked, timeout, interval, on_message, on_interval)
        # Nobody's id comes first, so that empty sets are yielded before anything is waited for.
        for task_id, meta in itertools.chain([("", {})], known.items(), collected):
            if task_id in single:
                yield task_id, meta
            for node, leaves in list(nested.values()):
                leaves.discard(task_id)
                if not leaves:
                    yield node.id, nested.pop(node.id)[0].results

    # -- how it is done -------------------------------------------------------------------------

    def _collect(
        self,
        ids: Collection[str],
        timeout: float | None,
        interval: float,
        on_message: Callback,
        on_interval: Callback,
    ) -> Iterator[tuple[str, Meta]]:
        """Yield each id with its final record.  Reads first; subscribes only if some are missing.

        `celery.exceptions.TimeoutError` after `timeout` seconds; 0 looks once.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        keys = {self.key_of(each): each for each in dict.fromkeys(ids)}
        yield from self._decoded(keys, self._first_look(keys, timeout), on_message)
        if not keys:
            return
        if timeout is not None and timeout <= 0:
            raise ResultTimeout("The operation timed out.")
        with self.hub().wait_for(keys) as wait:
            yield from self._await(wait, keys, deadline, interval, on_message, on_interval)

    def _first_look(self, keys: Collection[str], timeout: float | None) -> list[tuple[str, bytes]]:
        """What is final already; a store that is away is asked again no longer than the wait is."""
        seconds = None if timeout is None else max(timeout, SHORTEST_RETRIES)
        try:
            with at_most(seconds=seconds):
                return [(k, v) for k, v in get_many(self.store, keys) if self.ranks.is_final(v)]
        except StoreUnavailable as error:
            if timeout is None:
                raise
            raise ResultTimeout(f"The operation timed out: {error}") from error

    def _await(
        self,
        wait: Wait,
        keys: dict[str, str],
        deadline: float | None,
        interval: float,
        on_message: Callback,
        on_interval: Callback,
    ) -> Iterator[tuple[str, Meta]]:
        interval = max(interval, SHORTEST_INTERVAL)
        next_interval = time.monotonic() + interval
        while keys:
            now = time.monotonic()
            until = min(
                each for each in (deadline, on_interval and next_interval, now + 3600) if each
            )
            taken = wait.take(max(until - now, 0.0))
            yield from self._decoded(keys, taken, on_message)
            now = time.monotonic()
            if keys and deadline is not None and now >= deadline:
                raise ResultTimeout("The operation timed out.")
            if keys and on_interval is not None and now >= next_interval:
                on_interval()
                next_interval = time.monotonic() + interval

    def _decoded(
        self,
        keys: dict[str, str],
        found: Iterable[tuple[str, bytes]],
        on_message: Callback,
    ) -> Iterator[tuple[str, Meta]]:
        """Decode, deliver and yield; a key is asked for no longer."""
        for key, value in found:
            if key not in keys:
                continue
            task_id = keys.pop(key)
            meta = self.decode_result(value)
            self._deliver(task_id, meta)
            if on_message is not None:
                on_message(meta)
            yield task_id, meta

    def _parents_at_hand(self, result: Any, on_interval: Callback) -> Callback:
        """`on_interval`, with the unready parents read in one batch just before.

        Celery's own code asks for each parent; a chord's parents are its whole header.
        """
        if on_interval is None or getattr(result, "parent", None) is None:
            return on_interval

        def look() -> None:
            leaves = (leaf for node in parents(result) for leaf in leaf_results(node))
            ids = [leaf.id for leaf in leaves if not leaf._cache]
            token = prefetched.set(self._records(ids))
            try:
                on_interval()
            finally:
                prefetched.reset(token)

        return look

    def _records(self, ids: Iterable[str]) -> dict[str, Meta]:
        keys = {self.key_of(each): each for each in ids}
        found = {keys[key]: value for key, value in get_many(self.store, keys)}
        return {
            each: self.decode_result(found[each]) if each in found else dict(PENDING)
            for each in keys.values()
        }


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
    """The results of single tasks that a result consists of."""
    if not is_set(result):
        return [result]
    return [leaf for child in result.results for leaf in leaf_results(child)]


def leaf_ids(result: Any) -> list[str]:
    """The ids of `leaf_results`, each once."""
    return list(dict.fromkeys(leaf.id for leaf in leaf_results(result)))


def parents(result: Any) -> Iterator[Any]:
    """The results that led to this one, nearest first."""
    node = result.parent
    while node is not None:
        yield node
        node = node.parent
