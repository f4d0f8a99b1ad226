"""Waiting for results under asyncio, on every store, without an asynchronous driver."""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kvbackends.backend.pending import is_set, leaf_results

INTERVAL = 0.5
"""Seconds between two reads of the parents, as with `AsyncResult.get`."""


async def aget(result: Any, timeout: float | None = None, propagate: bool = True) -> Any:
    """Return the value of an `AsyncResult`, or the values of a `GroupResult` in order.

    Waits at most `timeout` seconds, then `celery.exceptions.TimeoutError`; 0 looks once.  Raises
    the task's exception, or a failed parent's, unless `propagate` is false, which returns it.  An
    ignored result is None.  The event loop is never blocked: reading happens in a thread.
    """
    import asyncio  # here: importing it takes 10 ms, and most processes never need it

    loop = asyncio.get_running_loop()
    pending = [leaf for leaf in leaf_results(result) if not (leaf.ignored or leaf._cache)]
    if pending:
        await _ready(loop, result.backend, pending, timeout, _look_at_parents(result, propagate))
    return await loop.run_in_executor(None, _value, result, propagate)


def _look_at_parents(result: Any, propagate: bool) -> Callable[[], Any] | None:
    """Return a function that raises a failed parent's error; None if there is no parent."""
    if is_set(result) or not propagate or result.parent is None:
        return None
    look: Callable[[], Any] = result.backend.parents_at_hand(
        result, result._maybe_reraise_parent_error
    )
    return look


async def _ready(
    loop: Any,
    backend: Any,
    pending: list[Any],
    timeout: float | None,
    look: Callable[[], Any] | None,
) -> None:
    """Wait until every pending result has been delivered; `look` once each `INTERVAL`."""
    import asyncio

    until = math.inf if timeout is None else loop.time() + timeout
    for leaf in pending:
        backend.add_pending_result(leaf, weak=True)
    ids = list(dict.fromkeys(leaf.id for leaf in pending))
    found = await loop.run_in_executor(None, lambda: dict(backend.get_many(ids, max_iterations=1)))
    keys = {backend.key_of(each): each for each in ids if each not in found}
    if not keys:
        return
    news = asyncio.Event()

    def tell() -> None:
        with suppress(RuntimeError):  # the loop is closed, and this was left pending in it
            loop.call_soon_threadsafe(news.set)

    with backend.waiters().wait_for(keys, tell) as wait:
        while keys:
            if look is not None:
                await loop.run_in_executor(None, look)
            left = until - loop.time()
            if left <= 0:
                raise backend.timed_out()
            left = min(left, INTERVAL if look else left)
            with suppress(TimeoutError):
                async with asyncio.timeout(None if left == math.inf else left):
                    await news.wait()
            news.clear()
            backend._deliver_all(keys, wait.take(0))


def _value(result: Any, propagate: bool) -> Any:
    return result.get(propagate=propagate, disable_sync_subtasks=False)
