"""Waiting for results under asyncio, on every store, without an asynchronous driver."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

from kvbackends.backend.fallback import INTERVAL as OLD_INTERVAL
from kvbackends.backend.parents import parents_at_hand
from kvbackends.backend.pending import Meta, is_set, leaf_results
from kvbackends.backend.turns import turns_of

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

INTERVAL = 0.5
"""Seconds between two reads of the parents, as with `AsyncResult.get`."""


class Gettable(Protocol[T_co]):
    """A result whose `get` returns a value of this type, as Celery's classes do."""

    @property
    def get(self) -> Callable[..., T_co]:
        """Wait for the value."""


async def aget(result: Gettable[T], timeout: float | None = None, propagate: bool = True) -> T:
    """Return the value of an `AsyncResult`, or the values of a `GroupResult` in order.

    Waits at most `timeout` seconds, then `celery.exceptions.TimeoutError`; 0 looks once.  Raises
    the task's exception, or a failed parent's, unless `propagate` is false, which returns it.  An
    ignored result is None.  The event loop is never blocked: reading happens in a thread.
    """
    import asyncio  # here: importing it takes 10 ms, and most processes never need it

    loop = asyncio.get_running_loop()
    until = math.inf if timeout is None else loop.time() + timeout
    await turns_of(loop).turn()  # before anything that takes time: thousands may begin together
    pending = [leaf for leaf in leaf_results(result) if not (leaf.ignored or leaf._cache)]
    if pending:
        look = _look_at_parents(result, propagate)
        await _ready(loop, pending[0].backend, pending, until, look)
    value = partial(result.get, propagate=propagate, disable_sync_subtasks=False)
    return value() if _is_at_hand(result) else await loop.run_in_executor(None, value)


async def achanges(result: Any, timeout: float | None = None) -> AsyncIterator[Meta]:
    """Yield the record of each change of an `AsyncResult`, or of a `GroupResult`'s tasks.

    The last record of each task is final; of the others, such as PROGRESS, those that a read finds:
    two changes in quick succession may be one.  `celery.exceptions.TimeoutError` is raised
    after `timeout` seconds.  Ignored results have no records.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    until = math.inf if timeout is None else loop.time() + timeout
    backend = result.backend
    keys = {backend.key_of(leaf.id): leaf.id for leaf in leaf_results(result) if not leaf.ignored}
    news, old = _News(loop), backend.old_finals()
    with backend.waiters().wait_for(keys, news.tell, changes=True) as wait:
        while keys:
            if old is not None:
                for meta in await loop.run_in_executor(None, backend._deliver_old, keys, old):
                    yield meta
                if not keys:
                    return
            if not await news.wait(until, math.inf if old is None else OLD_INTERVAL):
                raise backend.timed_out()
            for meta in backend._deliver_changes(keys, wait.take(0)):
                yield meta


class _News:
    """Wakes a coroutine from other threads."""

    def __init__(self, loop: Any) -> None:
        import asyncio

        self._loop = loop
        self._turns = turns_of(loop)
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Callable from any thread."""
        self._turns.add(self._event.set)

    async def wait(self, until: float, most: float = math.inf) -> bool:
        """Return at the next news, or after `most` seconds; False after the loop's time `until`."""
        import asyncio

        left = min(until - self._loop.time(), most)
        if left <= 0:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(None if left == math.inf else left):
                await self._event.wait()
        self._event.clear()
        return True


def _look_at_parents(result: Any, propagate: bool) -> Callable[[], Any] | None:
    """Return a function that raises a failed parent's error; None if there is no parent."""
    if is_set(result) or not propagate or result.parent is None:
        return None
    return parents_at_hand(result.backend, result, result._maybe_reraise_parent_error)


async def _ready(
    loop: Any,
    backend: Any,
    pending: list[Any],
    until: float,
    look: Callable[[], Any] | None,
) -> None:
    """Wait until every pending result has been delivered; `look` once each `INTERVAL`."""
    for leaf in pending:
        backend.add_pending_result(leaf, weak=True)
    ids = list(dict.fromkeys(leaf.id for leaf in pending))
    found = await turns_of(loop).read(backend, ids)
    keys = {backend.key_of(each): each for each in ids if each not in found}
    if not keys:
        return
    news, old = _News(loop), backend.old_finals()
    most = INTERVAL if look else (math.inf if old is None else OLD_INTERVAL)
    with backend.waiters().wait_for(keys, news.tell) as wait:
        while keys:
            if look is not None:
                await loop.run_in_executor(None, look)
            if not await news.wait(until, most):
                raise backend.timed_out()
            backend._deliver_all(keys, wait.take(0))
            if old is not None:
                await loop.run_in_executor(None, backend._deliver_old, keys, old)


def _is_at_hand(result: Any) -> bool:
    """True if nothing is read for the value: neither a set's members nor parents."""
    return not is_set(result) and bool(result._cache) and result.parent is None
