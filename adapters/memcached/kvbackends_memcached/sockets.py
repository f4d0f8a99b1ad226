"""Sockets for the driver, which takes them from a module like `socket`."""

import math
import socket
from typing import Any

from kvbackends.contract import seconds_left

_FULL = b"ERROR Too many open connections"
"""The answer to a connection above the server's option -c, before it is closed."""


class Socket(socket.socket):
    """A socket for the driver, whose answers end at the deadline."""

    def recv(self, *arguments: Any) -> bytes:
        """The server's answer; OSError at the deadline, and where it takes no more connections."""
        self.settimeout(seconds_left(self.gettimeout() or math.inf))
        answer = super().recv(*arguments)
        if answer.startswith(_FULL):  # which the driver would take for an unknown command
            raise ConnectionRefusedError(
                "the server has too many open connections: use fewer, or raise its option -c"
            )
        return answer


class Sockets:
    """The module `socket`, with `Socket`."""

    socket = Socket

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)
