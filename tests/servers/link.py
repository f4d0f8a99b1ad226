"""One connection through the fault proxy, and what all of its connections share."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import astuple, dataclass
from enum import Enum

CHUNK = 65_536  # bytes read at once
CHUNKS = 64  # held in each direction of a connection while they are delayed
# Linger, but for no second: closing resets the connection, and what is not yet sent is lost.
RESET = struct.pack("ii", 1, 0)

Queue = asyncio.Queue[tuple[float, bytes]]


class Direction(Enum):
    """Which way bytes go."""

    TO_SERVER = "to_server"
    TO_CLIENT = "to_client"


TO_SERVER, TO_CLIENT = Direction


@dataclass
class Counts:
    """Counts of forwarded traffic; the difference of two is the traffic of one operation.

    Args:
        connections: That were opened.
        round_trips: Requests that an answer followed, on one connection; what is sent in several
            pieces, or pipelined, counts once.
        to_server: Bytes.
        to_client: Bytes.
    """

    connections: int = 0
    round_trips: int = 0
    to_server: int = 0
    to_client: int = 0

    def __sub__(self, earlier: "Counts") -> "Counts":
        pairs = zip(astuple(self), astuple(earlier), strict=True)
        return Counts(*(mine - its for mine, its in pairs))


class Traffic:
    """The faults that all connections suffer, and their counts. Lives in the proxy's loop."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.open = {direction: asyncio.Event() for direction in Direction}
        self.delay = dict.fromkeys(Direction, 0.0)
        self.left: dict[Direction, int | None] = dict.fromkeys(Direction)

    def allow(self, direction: Direction, size: int) -> int:
        """How many of so many bytes may still go; when it is not all, there is no limit after."""
        left = self.left[direction]
        allowed = size if left is None else min(left, size)
        self.left[direction] = None if left is None or allowed < size else left - allowed
        return allowed

    def count(self, direction: Direction, size: int) -> None:
        """Count forwarded bytes."""
        name = direction.value
        setattr(self.counts, name, getattr(self.counts, name) + size)


class Link:
    """One connection of a client, and the connection to the server that belongs to it.

    Args:
        client: The accepted connection.
        server: Where the server listens.
        traffic: The proxy's.
        cut_all: Cuts all links of the proxy.
        ended: Called with this link at its end.
    """

    def __init__(
        self,
        client: socket.socket,
        server: tuple[str, int],
        traffic: Traffic,
        cut_all: Callable[[], None],
        ended: Callable[["Link"], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._client, self._server = client, socket.socket()
        self._place, self._traffic = server, traffic
        self._cut_all, self._ended = cut_all, ended
        self._finished: set[Direction] = set()
        self._asked = False
        for end in (self._client, self._server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.task = self._loop.create_task(self._run())
        self.task.add_done_callback(self._done)

    def half_close(self, direction: Direction) -> None:
        """Send an end to where the direction goes, and nothing after it."""
        self._finished.add(direction)
        with contextlib.suppress(OSError):
            self._ends(direction)[1].shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close both ends."""
        self._client.close()
        self._server.close()

    async def _run(self) -> None:
        """Forward until both sides have finished."""
        await self._traffic.open[TO_SERVER].wait()
        await self._loop.sock_connect(self._server, self._place)
        async with asyncio.TaskGroup() as pumps:
            for direction in Direction:
                chunks: Queue = asyncio.Queue(CHUNKS)
                pumps.create_task(self._read(direction, chunks))
                pumps.create_task(self._write(direction, chunks))

    def _done(self, task: asyncio.Task[None]) -> None:
        """Close both ends; after anything but a good end of both, with a reset."""
        if task.cancelled() or task.exception():
            for end in (self._client, self._server):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close()
        self._ended(self)

    async def _read(self, direction: Direction, chunks: Queue) -> None:
        """Read to the end, and note when each chunk is due."""
        source, _ = self._ends(direction)
        chunk = b"none yet"
        while chunk:
            chunk = await self._loop.sock_recv(source, CHUNK)
            await chunks.put((self._loop.time() + self._traffic.delay[direction], chunk))

    async def _write(self, direction: Direction, chunks: Queue) -> None:
        """Forward each chunk when it is due and nothing is paused."""
        chunk = b"none yet"
        while chunk:
            due, chunk = await chunks.get()
            await asyncio.sleep(due - self._loop.time())
            await self._traffic.open[direction].wait()
            await self._forward(direction, chunk)

    async def _forward(self, direction: Direction, chunk: bytes) -> None:
        if not chunk:
            self.half_close(direction)
        if direction in self._finished:
            return
        allowed = self._traffic.allow(direction, len(chunk))
        self._count(direction, allowed)
        await self._loop.sock_sendall(self._ends(direction)[1], chunk[:allowed])
        if allowed < len(chunk):
            self._cut_all()
            await self._loop.create_future()  # until we are cut, too

    def _count(self, direction: Direction, size: int) -> None:
        """Before a client can have its answer, so that it finds it counted."""
        self._traffic.count(direction, size)
        if size and direction is TO_CLIENT and self._asked:
            self._traffic.counts.round_trips += 1
        if size:
            self._asked = direction is TO_SERVER

    def _ends(self, direction: Direction) -> tuple[socket.socket, socket.socket]:
        """Where bytes come from, and where they go."""
        ends = self._client, self._server
        return ends if direction is TO_SERVER else ends[::-1]
