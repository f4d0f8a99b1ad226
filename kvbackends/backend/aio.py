"""Waiting for results under asyncio, on every store, without a driver of its own."""

from contextlib import suppress
from typing import Any

from kvbackends.backend.compat import ResultTimeout
from kvbackends.backend.pending import leaf_results


async def aget(result: Any, timeout: float | None = None, propagate: bool = True) -> Any:
    """The value of an `AsyncResult`, or the values of a `GroupResult` in order.

    Waits at most `timeout` seconds, then `celery.exceptions.TimeoutError`; 0 looks once.  Raises
    the task's exception unless `propagate` is false, which returns it.  The event loop is never
    blocked: reading happens in a thread.
    """
    import asyncio  # here: importing it takes 10 ms, and most processes never need it

    loop = asyncio.get_running_loop()
    pending = [leaf for leaf in leaf_results(result) if not (leaf.ignored or leaf._cache)]
    if pending:
        await _ready(loop, result.backend, pending, timeout)
    return await loop.run_in_executor(None, _value, result, propagate)


async def _ready(loop: Any, backend: Any, pending: list[Any], timeout: float | None) -> None:
    """Wait until every pending result has been delivered."""
    import asyncio

    for leaf in pending:
        backend.add_pending_result(leaf, weak=True)
    ids = list(dict.fromkeys(leaf.id for leaf in pending))
    found = await loop.run_in_executor(None, lambda: dict(backend.get_many(ids, max_iterations=1)))
    left = [each for each in ids if each not in found]
    if not left:
        return
    if timeout is not None and timeout <= 0:
        raise ResultTimeout("The operation timed out.")
    news = asyncio.Event()

    def tell() -> None:
        with suppress(RuntimeError):  # the loop is closed, and this was left pending in it
            loop.call_soon_threadsafe(news.set)

    keys = {backend.key_of(each): each for each in left}
    with backend.waiters().wait_for(keys, tell) as wait:
        try:
            async with asyncio.timeout(timeout):
                while keys:
                    await news.wait()
                    news.clear()
                    backend._deliver_all(keys, wait.take(0))
        except TimeoutError:
            raise ResultTimeout("The operation timed out.") from None


def _value(result: Any, propagate: bool) -> Any:
    return result.get(propagate=propagate, disable_sync_subtasks=False)
