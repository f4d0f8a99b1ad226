"""A TCP proxy in front of a store's server, for checks of what a network may do."""

import socket
import threading
from contextlib import suppress
from typing import Self

HERE = "127.0.0.1"
PIECE = 1 << 16
"""Bytes that are forwarded at a time."""


class Proxy:
    """Listens on a port of its own, and forwards to one server.

    Its methods may be called from any thread. `close` returns when its threads have ended.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._lock = threading.RLock()
        self._left: int | None = None
        self._allowed: int | None = None
        self._speaks = threading.Event()
        self._speaks.set()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self.has_refused = False
        """True if `refuse_after` has stopped a request since the last `listen`."""
        self.answered = 0
        """Bytes that the server has answered up to now."""
        self.trips = 0
        """How often a client has spoken after the server, or first."""
        self.port = 0
        self.listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def listen(self) -> None:
        """Accept connections, always on the same port, and forward what they say."""
        with self._lock:
            if self._listener is None:
                self._listener = socket.create_server((HERE, self.port))
                self.port = self._listener.getsockname()[1]
                self._begin(self._accept, self._listener)
            self._left = self._allowed = None
            self.has_refused = False
        self._speaks.set()

    def refuse(self) -> None:
        """Close all connections and the port."""
        listener, self._listener = self._listener, None
        if listener is not None:
            _end(listener)
        self.cut()

    def silence(self) -> None:
        """Accept everything, and say nothing, until `listen` is called."""
        self._speaks.clear()

    def cut_after(self, size: int | None) -> None:
        """Close the connection that has answered so many bytes more, once; None calls it off."""
        with self._lock:
            self._left = size

    def refuse_after(self, trips: int) -> None:
        """Forward so many requests more, then `refuse`, until `listen` is called."""
        with self._lock:
            self._allowed = trips

    def cut(self) -> None:
        """Close all connections."""
        with self._lock:
            sockets = list(self._sockets)
        for each in sockets:
            _end(each)

    def close(self) -> None:
        """Close all, and wait for the end of the proxy's threads."""
        self.refuse()
        self._speaks.set()
        self.cut()
        for each in self._threads:
            each.join()

    def _begin(self, work: object, *given: object) -> None:
        thread = threading.Thread(target=work, args=given, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client, _ = listener.accept()
                try:
                    server = socket.create_connection(self._server)
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    self._sockets |= {client, server}
                spoke = [True]
                self._begin(self._forward, client, server, False, spoke)
                self._begin(self._forward, server, client, True, spoke)

    def _forward(
        self, source: socket.socket, target: socket.socket, is_answer: bool, spoke: list[bool]
    ) -> None:
        """Forward one direction; `spoke` tells whether the server was the last to speak."""
        with suppress(OSError):
            while data := source.recv(PIECE):
                self._speaks.wait()
                whole = len(data)
                if spoke[0] and not is_answer and not self._may_begin():
                    break
                spoke[0] = is_answer
                if is_answer:
                    data = self._counted(data)
                target.sendall(data)
                if len(data) < whole:
                    break
        for each in (source, target):
            _end(each)
        with self._lock:
            self._sockets.discard(source)

    def _may_begin(self) -> bool:
        """Count a request; False after `refuse` if it is one too many."""
        with self._lock:
            self.trips += 1
            if self._allowed is None or self._allowed > 0:
                self._allowed = self._allowed and self._allowed - 1
                return True
            self.has_refused = True
            self.refuse()
            return False

    def _counted(self, data: bytes) -> bytes:
        """The data up to the place where the connection is cut."""
        with self._lock:
            if self._left is not None and self._left < len(data):
                data, self._left = data[: self._left], None
            elif self._left is not None:
                self._left -= len(data)
            self.answered += len(data)
            return data


def _end(sock: socket.socket) -> None:
    """Close a socket that another thread may be using: the shutdown ends its call."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
