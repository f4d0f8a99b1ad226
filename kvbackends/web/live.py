"""Server-sent events: the changing part of a page, whenever it has changed."""

import time
from collections.abc import AsyncIterator, Callable

import anyio
from starlette.concurrency import run_in_threadpool

from kvbackends.web.remembered import SHARE

PAUSE = 2.0
"""Seconds from one look to the next, at least."""


async def events(look: Callable[[], str]) -> AsyncIterator[bytes]:
    """Events with what `look` returns; it is called in a thread, and takes a tenth of the time."""
    last = None
    while True:
        began = time.monotonic()
        text = await run_in_threadpool(look)
        # A comment shows whether the browser is still there.
        yield _event(text) if text != last else b": unchanged\n\n"
        last = text
        await anyio.sleep(max(PAUSE, SHARE * (time.monotonic() - began)))


def _event(text: str) -> bytes:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    data = "".join(f"data: {line}\n" for line in lines)
    return f"event: changed\n{data}\n".encode("utf-8", "backslashreplace")
