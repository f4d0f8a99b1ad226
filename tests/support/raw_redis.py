"""The protocol of Redis on a plain socket, as any program in any language may speak it."""

import socket
from contextlib import AbstractContextManager
from typing import Any, Self
from urllib.parse import urlsplit


class Raw(AbstractContextManager["Raw"]):
    """A connection: commands as texts, answers as bytes, numbers and lists."""

    def __init__(self, url: str) -> None:
        self.url = url
        place = urlsplit(url)
        self._socket = socket.create_connection((place.hostname, place.port), timeout=10)
        self._stream = self._socket.makefile("rb")

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._socket.close()

    def ask(self, *command: str | bytes) -> Any:
        """Send one command; its answer.  An error is raised as `ValueError`."""
        words = [word if isinstance(word, bytes) else word.encode() for word in command]
        sizes = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
        self._socket.sendall(b"*%d\r\n%b" % (len(words), sizes))
        return self._answer()

    def messages(self) -> list[bytes]:
        """The messages received so far: it sends a ping, and reads up to the answer."""
        self._socket.sendall(b"PING\r\n")
        told: list[bytes] = []
        while (message := self._answer())[0] != b"pong":
            told += message[2:] if message[0] == b"message" else []
        return told

    def __enter__(self) -> Self:
        return self

    def _answer(self) -> Any:
        line = self._stream.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        match kind:
            case b"-":
                raise ValueError(rest.decode())
            case b"+":
                return rest
            case b":":
                return int(rest)
            case b"*":
                return [self._answer() for _ in range(int(rest))]
            case b"$" if rest == b"-1":
                return None
            case b"$":
                return self._stream.read(int(rest) + 2)[:-2]
        raise ConnectionResetError(line)
