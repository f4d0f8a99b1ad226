"""A TCP relay in front of a server that answers with something else, or with a part of it."""

import contextlib
import socket
import threading
import time
from collections import deque

from tests.servers.process import HOST, free_ports

HTTP = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nno\n"
NOISE = bytes(range(256)) * 2


class Liar:
    """Listens on a port of its own for the server at `port`.

    The next answers are the elements of `lies`: bytes replace an answer, a number is how many of
    its bytes pass; the connection is closed behind it.  `always` is what all others are.
    """

    def __init__(self, port: int) -> None:
        self.lies: deque[bytes | int] = deque()
        self.always: bytes | int | None = None
        self.delay = 0.0
        """Seconds before each answer: requests meanwhile need connections of their own."""
        self.port = free_ports(1)[0]
        self._server = HOST, port
        self._listener = socket.create_server((HOST, self.port))
        self._open: set[socket.socket] = set()
        self._forgotten: set[socket.socket] = set()
        self._start(self._accept)

    def close(self) -> None:
        """End all connections, and listen no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def forget(self) -> None:
        """Let nothing more through on the present connections, as a firewall that forgot them."""
        self._forgotten |= self._open

    def open_forgotten(self) -> int:
        """How many of the forgotten connections are still open."""
        return len(self._forgotten & self._open)

    def cut(self) -> None:
        """End all connections."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _start(self, target, *arguments) -> None:
        threading.Thread(target=target, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._open |= {client, server}
                self._start(self._pass, client, server)
                self._start(self._pass, server, client, True)

    def _pass(self, source, target, answers=False) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                if source in self._forgotten:
                    continue
                lie = self._lie() if answers else None
                time.sleep(self.delay)
                target.sendall(data if lie is None else data[:lie] if type(lie) is int else lie)
                if lie is not None:
                    break
        for each in (source, target):
            self._open.discard(each)
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _lie(self) -> bytes | int | None:
        with contextlib.suppress(IndexError):
            return self.lies.popleft()
        return self.always
