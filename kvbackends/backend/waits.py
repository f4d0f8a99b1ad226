"""Celery's asynchronous result API over `kvbackends.protocol.waiting`."""

import itertools
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from celery import states
from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import ResultSet

from kvbackends.backend.compat import NoCache
from kvbackends.backend.fallback import Finals
from kvbackends.backend.parents import Callback, parents_at_hand
from kvbackends.backend.pending import Meta, Pending, is_set, leaf_ids, leaf_results
from kvbackends.backend.ranks import FINAL_JSON, SUCCESS_JSON, is_settled
from kvbackends.backend.results import text
from kvbackends.contract.deadline import within
from kvbackends.contract.derived import get_many
from kvbackends.contract.process import PerProcess
from kvbackends.errors import StoreUnavailable, UnknownHost
from kvbackends.protocol.waiting import Wait, Waiters

T = TypeVar("T")

SHORTEST_INTERVAL = 0.01
"""Seconds: with an interval of 0 a chord's parents would be read without a pause."""
SHORTEST_READ = 0.9
"""Seconds that the store has to answer the first read, even with a timeout of 0."""
IGNORED = {"status": states.SUCCESS, "result": None}
"""The record of a task that stores none."""
NO_RESULTS: Mapping[str, list[Any]] = {}


class Waits(Pending):
    """Waiting and joining."""

    def _prepare_waits(self) -> None:
        self.waiters = PerProcess(
            lambda: Waiters(self.store, self.ranks.is_final, is_settled),
            close=Waiters.close,
            abandon=Waiters.abandon,
        )
        self._prepare_pending()

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
        first = None
        if on_message is None and not isinstance(result, ResultSet):
            first = self._read_first(timeout, self._final_one, self.key_of(result.id))
            if first and first[0][1].startswith(SUCCESS_JSON):
                # Half the calls of `_collect`: most results are ready, and succeeded.
                meta = self.decode_result(first[0][1])
                self._deliver(result.id, meta)
                if not result._cache:
                    result._maybe_set_cache(meta)
                return result.maybe_throw(callback=callback, propagate=propagate)
        look = parents_at_hand(self, result, on_interval)
        ids = leaf_ids(result)
        for _id, meta in self._collect(ids, timeout, interval, on_message, look, first=first):
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
        """Wait for the final record of a task, and return it."""
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
        """Yield records as they become final; with ``max_iterations=1`` those that are, at once."""
        ids = [each if type(each) is str else text(each) for each in task_ids]
        interval = interval or 0.5
        if max_iterations is None:
            return self._collect(ids, timeout, interval, on_message, on_interval)
        timeout = (max_iterations - 1) * interval
        return _until_timeout(self._collect(ids, timeout, interval, on_message, on_interval))

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
        """Yield the records of a set's members, and each nested set once its leaves are final."""
        self._ensure_not_eager()
        members = leaf_results(result)
        nested = {node.id: (node, set(leaf_ids(node))) for node in result.results if is_set(node)}
        single = {node.id for node in result.results if not is_set(node)}
        known = {leaf.id: leaf._cache for leaf in members if leaf._cache}
        known.update({leaf.id: dict(IGNORED) for leaf in members if leaf.ignored})
        asked: dict[str, list[Any]] = {}
        for leaf in members:
            if leaf.id not in known:
                asked.setdefault(leaf.id, []).append(leaf)
        collected = self._collect(asked, timeout, interval, on_message, on_interval, asked)
        # An id of no task comes first, so that empty sets are yielded before any wait.
        for task_id, meta in itertools.chain([("", {})], known.items(), collected):
            if task_id in single:
                yield task_id, meta
            for node, leaves in list(nested.values()) if nested else ():
                leaves.discard(task_id)
                if not leaves:
                    yield node.id, nested.pop(node.id)[0].results

    # -- collecting -----------------------------------------------------------------------------

    def _collect(
        self,
        ids: Collection[str],
        timeout: float | None,
        interval: float,
        on_message: Callback,
        on_interval: Callback,
        owners: Mapping[str, list[Any]] = NO_RESULTS,
        *,
        first: list[tuple[str, bytes]] | None = None,
    ) -> Iterator[tuple[str, Meta]]:
        """Yield each id with its final record.  Reads first; subscribes only if some are missing.

        `on_message` is called with the records of changes before that, too.
        Raises `celery.exceptions.TimeoutError` after `timeout` seconds; 0 reads once.  `owners` are
        result objects by id that receive the records, too, without being registered.  `first` is
        the answer of `_read_first`, if it was called.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        keys = self.keys_of(ids)
        if first is None:
            first = self._read_first(timeout, self._final, keys)
        registered = self._pending_results.weak
        caches = not isinstance(self._cache, NoCache)
        changes = on_message is not None
        later = self._measured(
            self._read_later(keys, timeout, deadline, interval, on_interval, changes=changes)
        )
        # One generator for all: each further one costs a call for each record.
        for found in itertools.chain((first,), later):
            for (key, value), meta in zip(found, self._metas(found), strict=True):
                if key not in keys:
                    continue
                if on_message is not None and value and not self.ranks.is_final(value):
                    on_message(meta)
                    continue
                task_id = keys.pop(key)
                if caches or task_id in registered:
                    self._deliver(task_id, meta)
                for owner in owners.get(task_id, ()):
                    if not owner._cache:
                        owner._maybe_set_cache(meta)
                if on_message is not None:
                    on_message(meta)
                yield task_id, meta

    def _measured(self, later: Iterator[T]) -> Iterator[T]:
        return self.telemetry.wait(later, ResultTimeout) if self.telemetry else later

    def _read_first(
        self, timeout: float | None, read: Callable[[T], list[tuple[str, bytes]]], asked: T
    ) -> list[tuple[str, bytes]]:
        """Return ``read(asked)``; empty if the store is away for the time being.

        Raises `UnknownHost`, and `celery.exceptions.TimeoutError` if the time is over.
        """
        seconds = math.inf if timeout is None else max(timeout, SHORTEST_READ)
        until = time.monotonic() + seconds
        try:
            return within(seconds, read, asked)
        except UnknownHost:
            raise
        except StoreUnavailable as error:
            if timeout is not None and (timeout <= 0 or time.monotonic() >= until):
                raise ResultTimeout(f"The operation timed out: {error}") from error
            self.waiters().failed(error)
            return []

    def _final(self, keys: Collection[str]) -> list[tuple[str, bytes]]:
        found, is_final = get_many(self.store, keys), self.ranks.is_final
        return [each for each in found if each[1].startswith(FINAL_JSON) or is_final(each[1])]

    def _final_one(self, key: str) -> list[tuple[str, bytes]]:
        entry = self.store.get(key)
        return [(key, entry.value)] if entry and self.ranks.is_final(entry.value) else []

    def _read_later(
        self,
        keys: dict[str, str],
        timeout: float | None,
        deadline: float | None,
        interval: float,
        on_interval: Callback,
        *,
        changes: bool = False,
    ) -> Iterator[list[tuple[str, bytes]]]:
        """Yield keys as they become final until `keys` is empty; the caller removes them there."""
        old = self.old_finals()
        if keys and old:
            yield old.read(keys, deadline)
        if not keys:
            return
        if timeout is not None and timeout <= 0:
            raise self.timed_out()
        wait = self.waiters().wait_for(keys, changes=changes)
        # Not `with`, and not `close` alone: a signal's exception may come when a method begins.
        try:
            yield from self._await(wait, keys, deadline, interval, on_interval, old)
        finally:
            wait.closed = True
            wait.close()

    def _await(
        self,
        wait: Wait,
        keys: dict[str, str],
        deadline: float | None,
        interval: float,
        on_interval: Callback,
        old: Finals | None,
    ) -> Iterator[list[tuple[str, bytes]]]:
        interval = max(interval, SHORTEST_INTERVAL)
        next_interval = time.monotonic() + interval
        while keys:
            now = time.monotonic()
            ends = (deadline, on_interval and next_interval, old and old.due, now + 3600)
            yield wait.take(max(min(each for each in ends if each) - now, 0.0))
            if keys and old:
                yield old.read(keys, deadline)
            now = time.monotonic()
            if keys and deadline is not None and now >= deadline:
                raise self.timed_out()
            if keys and on_interval is not None and now >= next_interval:
                left = math.inf if deadline is None else max(deadline - now, SHORTEST_READ)
                within(left, on_interval)
                next_interval = time.monotonic() + interval

    def timed_out(self) -> ResultTimeout:
        """The error of a wait whose time is over; it tells if the store did not answer."""
        trouble = self.waiters().trouble()
        reason = f": {trouble}" if trouble else f"; results are read from {self.as_uri()}."
        return ResultTimeout(f"The operation timed out{reason}")


def _until_timeout(found: Iterator[tuple[str, Meta]]) -> Iterator[tuple[str, Meta]]:
    with suppress(ResultTimeout):
        yield from found
