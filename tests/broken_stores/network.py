"""A correct store behind a real socket, and the server that it talks to."""

import functools
import logging
import pickle
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Annotated, Any, Self

from kvbackends.contract import Entry, Feature, Options, Store, StoreURL
from kvbackends.contract.deadline import BoundedSocket
from kvbackends.contract.options import option
from kvbackends.contract.process import PerProcess
from tests.broken_stores.reference import ReferenceStore

HOST = "127.0.0.1"
PASSWORD = "kvt-the-right-passw0rd"
HEAD = struct.Struct(">I")
logger = logging.getLogger(__name__)


class ServerLost(Exception):
    """The driver's error of a lost connection; it names the address."""


class Refused(Exception):
    """The server refuses the user."""


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with suppress(OSError, EOFError, pickle.UnpicklingError, struct.error):
            while head := self.rfile.read(HEAD.size):
                if head.startswith(b"\x16\x03"):
                    return  # TLS
                name, arguments = pickle.loads(self.rfile.read(*HEAD.unpack(head)))
                data = pickle.dumps(self.answer(name, arguments))
                self.wfile.write(HEAD.pack(len(data)) + data)

    def answer(self, name: str, arguments: tuple[Any, ...]) -> object:
        space, *rest = arguments
        if name == "authenticate":
            return rest[1] == PASSWORD
        store = ReferenceStore.from_url(StoreURL("served", path=space), None)
        answer = getattr(store, name)(*rest)
        return dict(answer) if isinstance(answer, Mapping) else answer


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@functools.cache
def address() -> str:
    """The login and the address of the server, which runs in this process from now on."""
    server = _Server((HOST, 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"tests:{PASSWORD}@{HOST}:{server.server_address[1]}"


class NetworkOptions(Options, frozen=True, kw_only=True):
    tls: Annotated[bool, option("Encrypt the connection.")] = False


class Connection:
    """One connection; a lock gives it to one thread at a time."""

    longest = 5.0
    """Seconds of a wait for the server where the deadline is later."""

    def __init__(self, url: StoreURL, *, tls: bool) -> None:
        self.url, self.tls = url, tls
        self.lock = threading.RLock()
        self.socket: Any = None

    def ask(self, name: str, *arguments: object) -> Any:
        data = pickle.dumps((name, (self.url.path, *arguments)))
        with self.lock, self.losing():
            if self.socket is None:
                self.connect()
            bounded = self.bounded()
            self.send(bounded, HEAD.pack(len(data)) + data)
            return self.received(bounded)

    @contextmanager
    def losing(self) -> Iterator[None]:
        """Raise `ServerLost` for a lost connection, and drop it after any error."""
        try:
            yield
        except (OSError, EOFError) as error:
            self.close()
            raise self.lost(error) from error
        except BaseException:
            self.close()
            raise

    def lost(self, error: Exception) -> Exception:
        return ServerLost(f"{self.url.hosts[0]}: {error!r}")

    def bounded(self) -> Any:
        return BoundedSocket(self.socket, self.longest)

    def connect(self) -> None:
        host = self.url.hosts[0]
        plain = socket.create_connection((host.name, host.port or 0), timeout=self.longest)
        self.socket = ssl.create_default_context().wrap_socket(plain) if self.tls else plain
        password = self.url.password
        if not self.ask("authenticate", self.url.username, password and password.reveal()):
            raise Refused(f"{host} refuses the user {self.url.username}")

    def send(self, bounded: Any, data: bytes) -> None:
        logger.debug("%s: %d bytes", self.url, len(data))
        bounded.send(data)

    def received(self, bounded: Any) -> Any:
        with bounded.reader() as file:
            head = self.whole(file, HEAD.size)
            return pickle.loads(self.whole(file, *HEAD.unpack(head)))

    def whole(self, file: Any, size: int) -> bytes:
        data: bytes = file.read(size)
        if len(data) < size:
            raise EOFError("the server has closed the connection")
        return data

    def close(self) -> None:
        sock, self.socket = self.socket, None
        if sock is not None:
            sock.close()


class NetworkStore(Store):
    """Correct, behind a socket: the five methods and a batch."""

    promises = Feature.SHARED
    options_type = NetworkOptions
    transient_errors: tuple[type[BaseException], ...] = (ServerLost,)
    connection_type: type[Connection] = Connection

    def __init__(self, url: StoreURL, *, tls: bool = False) -> None:
        self.connection = PerProcess(
            lambda: self.connection_type(url, tls=tls), close=Connection.close
        )

    @classmethod
    def from_url(cls, url: StoreURL, options: Any) -> Self:
        return cls(url, tls=options.tls)

    def ask(self, name: str, *arguments: object) -> Any:
        return self.connection().ask(name, *arguments)

    def ping(self) -> None:
        self.ask("get", "")

    def get(self, key: str) -> Entry | None:
        entry: Entry | None = self.ask("get", key)
        return entry

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.ask("set", key, value, ttl)

    def delete(self, key: str) -> None:
        self.ask("delete", key)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        return bool(self.ask("compare_and_set", key, value, version, ttl))

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        found: Mapping[str, bytes] = self.ask("get_batch", list(keys))
        return found

    def close(self) -> None:
        self.connection.close()
