"""A URL with the wrong scheme for its port is told at once, on every store that has TLS."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kvbackends import ConfigurationError, StoreUnavailable, open_store
from kvbackends.contract.records import ServerAddress
from kvbackends.errors import UnknownHost
from kvbackends.layers import probing
from tests.servers.certificates import Authority
from tests.support.suites import java_is_slow

PLAIN = {
    "redis": "redis://{}/0?socket_timeout=1",
    "cluster": "redis+cluster://{}?socket_timeout=1",
    "sentinel": "sentinel://{}/0?socket_timeout=1",
    "memcached": "memcached://{}?timeout=1",
    "mongodb": "mongodb://{}/x?serverSelectionTimeoutMS=500",
    "elasticsearch": "elasticsearch://{}/x?timeout=1",
    "cassandra": "cassandra://{}/x?connect_timeout=1",
}
TLS = {
    "redis": "rediss://{}/0?socket_timeout=1",
    "cluster": "rediss+cluster://{}?socket_timeout=1",
    "memcached": "memcached://{}?tls=1&timeout=1",
    "mongodb": "mongodb://{}/x?tls=true&serverSelectionTimeoutMS=500",
    "elasticsearch": "elasticsearch+https://{}/x?timeout=1",
}
Answer = Callable[[Any], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Starts a server that answers each connection in a thread of its own; returns its address."""
    with contextlib.ExitStack() as stack:

        def start(answer: Answer) -> str:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            thread = threading.Thread(target=_accept, args=(listener, answer))
            thread.start()
            stack.callback(thread.join)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            return "{}:{}".format(*listener.getsockname())

        yield start


def _accept(listener: socket.socket, answer: Answer) -> None:
    with contextlib.ExitStack() as threads:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=_answered, args=(sock, answer))
            thread.start()
            threads.callback(thread.join)


def _answered(sock: socket.socket, answer: Answer) -> None:
    sock.settimeout(3)
    with contextlib.closing(sock), contextlib.suppress(OSError):
        answer(sock)


@pytest.fixture(scope="module")
def speaks_tls(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """Closes a connection without TLS, as Redis and Elasticsearch do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "server.pem", folder / "server.key"
    Authority().issue(*files, "127.0.0.1")
    context.load_cert_chain(*files)

    def answer(sock: Any) -> None:
        with context.wrap_socket(sock, server_side=True) as secured:
            secured.recv(1)

    return answer


def speaks_plainly(sock: Any) -> None:
    """Answers text with an error, and nothing to what is no text."""
    if sock.recv(4096).isascii():
        sock.sendall(b"-ERR unknown command\r\n")


@pytest.mark.parametrize("store", java_is_slow(PLAIN))
def test_a_port_with_tls_is_told_to_a_url_without(store, serve, speaks_tls):
    """Within the driver's own timeout, not after the time of retries."""
    assert_told(PLAIN[store].format(serve(speaks_tls)), "speaks TLS on this port, and the URL")


@pytest.mark.parametrize("store", java_is_slow(TLS))
def test_a_port_without_tls_is_told_to_a_url_with_it(store, serve):
    """So is the other way round."""
    assert_told(TLS[store].format(serve(speaks_plainly)), "does not speak TLS on this port")


def assert_told(url: str, words: str) -> None:
    store = open_store(f"{url}&retry_timeout=60")
    started = time.monotonic()
    with pytest.raises(ConfigurationError, match=words):
        store.get("key")
    store.close()
    assert time.monotonic() - started < 50


@pytest.mark.parametrize("store", java_is_slow(PLAIN))
def test_a_host_that_does_not_exist_is_told(store, monkeypatch):
    """After a second attempt, not after the time of retries."""
    resolved = socket.getaddrinfo

    def no_name(host: Any, *more: Any, **named: Any) -> Any:
        if host in ("nowhere.invalid", b"nowhere.invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolved(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    store = open_store(f"{PLAIN[store].format('nowhere.invalid')}&retry_timeout=60")
    started = time.monotonic()
    with contextlib.closing(store), pytest.raises(UnknownHost, match=r"nowhere\.invalid"):
        store.get("key")
    assert time.monotonic() - started < 50


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n", b"\x15\x03\x03\x00\x02"])
def test_an_answer_that_servers_with_tls_give_proves_nothing(answer, serve):
    """A server that is away, or refuses text, may speak TLS all the same."""
    host, _, port = serve(lambda sock: (sock.recv(99), sock.sendall(answer))).partition(":")
    assert probing.wrong_scheme(ServerAddress(host, int(port), tls=True)) is None


def test_a_server_that_was_reached_is_asked_once(serve, monkeypatch):
    """An outage does not cost a connection for each operation."""
    asked = []
    monkeypatch.setattr("kvbackends.layers.outage.wrong_scheme", asked.append)
    store = open_store(f"redis://{serve(socket.socket.close)}/0?retry_timeout=0")
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            store.get("key")
    assert len(asked) == 1
    store.close()


def test_a_server_that_is_down_is_asked_later(monkeypatch):
    """Nobody listens on the port yet."""
    asked = []
    monkeypatch.setattr("kvbackends.layers.outage.wrong_scheme", asked.append)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    store = open_store(f"memcached://127.0.0.1:{port}?retry_timeout=0")
    with pytest.raises(StoreUnavailable):
        store.get("key")
    assert asked == []
    store.close()
