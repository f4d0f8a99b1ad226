"""A TCP proxy between clients and one server: faults of the network, and counts of what is said.

    with redis_server() as server, FaultProxy(HOST, server.port) as proxy:
        client = redis.Redis.from_url(proxy.url_of(server.url))
        proxy.cut()

It runs in a thread of its own. Its methods may be called from any thread, and what they do is done
when they return.
"""

import asyncio
import contextlib
import os
import socket
import threading
import weakref
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Self

from tests.servers.link import TO_CLIENT, TO_SERVER, Counts, Direction, Link, Traffic
from tests.servers.process import HOST, free_ports

__all__ = ["TO_CLIENT", "TO_SERVER", "Counts", "Direction", "FaultProxy"]

PATIENCE = 10.0  # seconds for one of the proxy's own actions


class FaultProxy:
    """Listens on a port of its own for one server, which need not be up yet.

    Args:
        host: The server's host.
        port: The server's port.
    """

    def __init__(self, host: str, port: int) -> None:
        self.server = host, port
        self.port = 0
        self._traffic = Traffic()
        self._links: set[Link] = set()
        self._listener: socket.socket | None = None
        self._cutting: asyncio.Task[None] | None = None
        self._last_cut: asyncio.Task[None] | None = None  # or nobody would hold it

    # ------------------------------------------------------------------------------ its life

    def start(self) -> Self:
        """Listen."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        _proxies.add(self)
        self.port = free_ports(1)[0]
        self.resume()
        self.accept()
        return self

    def stop(self) -> None:
        """Cut all connections, and listen no more."""
        self.refuse()
        self.cut_every(None)
        self.cut()
        _proxies.discard(self)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --------------------------------------------------------------------- reading its state

    def url_of(self, url: str) -> str:
        """The server's URL with the proxy's place instead of the server's.

        MongoDB's driver would ask the server where the members of its replica set are, and go
        there; so it is told not to.
        """
        place = f"{self.server[0]}:{self.server[1]}"
        if place not in url:
            raise ValueError(f"{url} is not a URL of {place}")
        url = url.replace(place, f"{HOST}:{self.port}")
        return url.replace("replicaSet=rs0", "directConnection=true")

    @property
    def counts(self) -> Counts:
        """The bytes and requests forwarded up to now."""
        return replace(self._traffic.counts)

    @property
    def connected(self) -> int:
        """How many connections are open now."""
        return len(self._links)

    # -------------------------------------------------------------------------------- faults

    def pause(self, *directions: Direction) -> None:
        """Accept everything and forward nothing, in these directions or both."""
        self._do(self._set_open(directions, is_open=False))

    def resume(self, *directions: Direction) -> None:
        """Forward again, first what has been held back."""
        self._do(self._set_open(directions, is_open=True))

    def delay(self, *, to_server: float = 0.0, to_client: float = 0.0) -> None:
        """Hold what comes from now on for so many seconds; without arguments, no longer."""
        self._traffic.delay = {TO_SERVER: to_server, TO_CLIENT: to_client}

    def cut(self) -> None:
        """Reset all connections, those of the clients and those to the server."""
        self._do(self._cut())

    def cut_every(self, seconds: float | None) -> None:
        """Reset all connections again and again; None ends it."""
        self._do(self._set_cutting(seconds))

    def cut_after(self, size: int | None, direction: Direction = TO_CLIENT) -> None:
        """Forward so many bytes more in one direction, over all connections; the next cuts all.

        It happens once. `cut_after(0)` lets a request through, and loses its answer. None calls it
        off.
        """
        self._traffic.left[direction] = size

    def half_close(self, direction: Direction = TO_CLIENT) -> None:
        """Tell one end of each connection that the other has finished, which it has not.

        What comes later in this direction is lost; the other direction goes on.
        """
        self._do(self._half_close(direction))

    def refuse(self) -> None:
        """Refuse new connections; those that are open go on."""
        self._do(self._refuse())

    def accept(self) -> None:
        """Accept new connections, on the same port as before."""
        self._do(self._accept())

    # ------------------------------------------------------------------------- in the thread

    def _do(self, action: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(action, self._loop).result(PATIENCE)

    async def _set_open(self, directions: tuple[Direction, ...], *, is_open: bool) -> None:
        for direction in directions or Direction:
            event = self._traffic.open[direction]
            (event.set if is_open else event.clear)()

    async def _cut(self) -> None:
        if self._listener:
            self._take()
        tasks = [link.task for link in self._links]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cut_soon(self) -> None:
        """For a link, which cannot wait for its own end."""
        self._last_cut = self._loop.create_task(self._cut())

    async def _set_cutting(self, seconds: float | None) -> None:
        if self._cutting:
            self._cutting.cancel()
            await asyncio.gather(self._cutting, return_exceptions=True)
            self._cutting = None
        if seconds is not None:
            self._cutting = self._loop.create_task(self._cut_again(seconds))

    async def _cut_again(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self._cut()

    async def _half_close(self, direction: Direction) -> None:
        for link in self._links:
            link.half_close(direction)

    async def _refuse(self) -> None:
        if self._listener:
            self._take()
            self._loop.remove_reader(self._listener)
            self._listener.shutdown(socket.SHUT_RDWR)  # closing waits for forks that have it, too
            self._listener.close()
            self._listener = None

    async def _accept(self) -> None:
        if not self._listener:
            self._listener = socket.create_server((HOST, self.port), backlog=1024)
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._take)

    def _take(self) -> None:
        """Link every client that has connected; for the clients they are all open already."""
        assert self._listener
        with contextlib.suppress(BlockingIOError):
            while True:
                client, _ = self._listener.accept()
                self._traffic.counts.connections += 1
                self._links.add(self._link(client))

    def _link(self, client: socket.socket) -> Link:
        return Link(client, self.server, self._traffic, self._cut_soon, self._links.discard)

    def let_go(self) -> None:
        """In a fork: close what is the parent's, or its resets and refusals would not show."""
        for link in self._links:
            link.close()
        if self._listener:
            self._listener.close()


_proxies: "weakref.WeakSet[FaultProxy]" = weakref.WeakSet()


def _let_all_go() -> None:
    for proxy in list(_proxies):
        proxy.let_go()


os.register_at_fork(after_in_child=_let_all_go)
