"""Elastic's node, whose requests end at the deadline.

urllib3 bounds each step of a request, but neither an answer that comes byte by byte nor the wait
for one of the node's connections.
"""

import io
from collections.abc import Callable
from typing import Any

from elastic_transport import NodeConfig, Urllib3HttpNode
from urllib3.util import Timeout

from kvbackends.contract import BoundedSocket, seconds_left


class Node(Urllib3HttpNode):
    """One host and the connections to it."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        longest = config.request_timeout or 0.0
        kind, urlopen = self.pool.ConnectionCls, self.pool.urlopen

        def bounded_urlopen(*arguments: Any, **named: Any) -> Any:
            left = seconds_left(longest)
            if left < longest:
                named["timeout"] = Timeout(total=left)
            return urlopen(*arguments, pool_timeout=left, **named)  # type: ignore[arg-type,misc]

        self.pool.ConnectionCls = type(kind.__name__, (_Bounded, kind), {})
        self.pool.urlopen = bounded_urlopen  # type: ignore[method-assign]


class _Bounded:
    """Connects as urllib3 does."""

    sock: Any
    connect: Callable[[], None]

    def connect(self) -> None:  # type: ignore[no-redef]
        super().connect()  # type: ignore[misc]
        self.sock = _Socket(self.sock)


class _Socket:
    """A socket whose steps end at the deadline."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._bounded = BoundedSocket(sock, sock.gettimeout())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, seconds: float) -> None:
        """Set the seconds for one step if the deadline is later."""
        self._bounded = BoundedSocket(self._sock, seconds)

    def sendall(self, data: bytes) -> None:
        """As the socket does."""
        self._bounded.send(data)

    def makefile(self, *_: Any) -> Any:
        """A file that reads the socket."""
        return _Answer(self._bounded, self._sock)


class _Answer(io.BufferedReader):
    """Keeps the socket open until it is closed itself, as a socket's own files do.

    Where the server ends the connection after its answer, http.client closes the socket first and
    then reads.
    """

    def __init__(self, bounded: BoundedSocket, sock: Any) -> None:
        super().__init__(bounded.reader().detach())
        self._open = sock.makefile("rb", buffering=0)

    def close(self) -> None:
        """Close the file, and the socket if it was to be closed."""
        super().close()
        self._open.close()
