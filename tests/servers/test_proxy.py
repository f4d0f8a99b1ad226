"""The fault proxy does what it says, before a server that sends back what it gets."""

import contextlib
import os
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.servers.process import HOST, eventually, free_ports, receive
from tests.servers.proxy import TO_CLIENT, TO_SERVER, Counts, FaultProxy
from tests.support.stalls import takes_less


class Echo(socketserver.ThreadingTCPServer):
    """Sends back what it gets, and remembers it and how each connection ended."""

    daemon_threads = True

    def __init__(self):
        super().__init__((HOST, 0), EchoOne)
        self.heard = b""
        self.ends = []

    @property
    def port(self) -> int:
        return self.server_address[1]


class EchoOne(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            while data := self.request.recv(65_536):
                self.server.heard += data
                self.request.sendall(data)
            self.server.ends.append("finished")
        except ConnectionError as error:
            self.server.ends.append(type(error).__name__)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultProxy]:
    with FaultProxy(HOST, echo.port) as started:
        yield started


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[socket.socket]:
    with connect(proxy) as connection:
        yield connection


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=5)


def said(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return receive(client, len(data))


def is_silent(client: socket.socket) -> bool:
    client.settimeout(0.2)
    try:
        with contextlib.suppress(TimeoutError):
            return not client.recv(1)
        return True
    finally:
        client.settimeout(5)


def test_it_forwards_and_counts(proxy, client):
    assert said(client, b"question") == b"question"
    assert said(client, b"more") == b"more"
    assert proxy.counts == Counts(connections=1, round_trips=2, to_server=12, to_client=12)


def test_what_an_operation_takes_is_a_difference(proxy, client):
    said(client, b"before")
    before = proxy.counts
    said(client, b"hello")
    assert proxy.counts - before == Counts(round_trips=1, to_server=5, to_client=5)


def test_an_answer_in_pieces_is_one_round_trip(proxy, client):
    """Whatever the pieces are: all of the question has gone when the first answer comes."""
    proxy.pause(TO_CLIENT)
    data = os.urandom(1_000_000)
    sender = threading.Thread(target=client.sendall, args=[data])
    sender.start()
    assert eventually(lambda: proxy.counts.to_server == len(data))
    proxy.resume()
    assert receive(client, len(data)) == data
    sender.join()
    assert proxy.counts.round_trips == 1


def test_it_forwards_much_in_both_directions_at_once(client):
    data = os.urandom(5_000_000)
    sender = threading.Thread(target=client.sendall, args=[data])
    sender.start()
    assert receive(client, len(data)) == data
    sender.join()


def test_it_forwards_the_end_of_each_direction(echo, proxy, client):
    client.sendall(b"last")
    client.shutdown(socket.SHUT_WR)
    assert receive(client, 4) == b"last"
    assert client.recv(1) == b""
    assert eventually(lambda: echo.ends == ["finished"])
    assert eventually(lambda: proxy.connected == 0)


def test_paused_it_accepts_and_forwards_nothing(echo, proxy, client):
    said(client, b"before")
    proxy.pause()
    client.sendall(b"held")
    with connect(proxy) as another:
        another.sendall(b"held, too")
        assert is_silent(client)
        assert is_silent(another)
        assert echo.heard == b"before"
        proxy.resume()
        assert receive(client, 4) == b"held"
        assert receive(another, 9) == b"held, too"


def test_paused_towards_the_client_it_lets_requests_through(echo, proxy, client):
    proxy.pause(TO_CLIENT)
    client.sendall(b"asked")
    assert eventually(lambda: echo.heard == b"asked")
    assert is_silent(client)
    proxy.resume(TO_CLIENT)
    assert receive(client, 5) == b"asked"


def test_a_cut_resets_both_sides(echo, proxy, client):
    said(client, b"before")
    proxy.cut()
    assert received_until_reset(client) == b""
    assert eventually(lambda: echo.ends == ["ConnectionResetError"])
    assert proxy.connected == 0


def test_a_cut_shows_although_a_fork_has_the_sockets_too(proxy, client):
    said(client, b"before")
    with a_fork():
        proxy.cut()
        assert received_until_reset(client) == b""
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)


@contextlib.contextmanager
def a_fork() -> Iterator[None]:
    child = os.fork()
    try:
        if child == 0:
            signal.pause()
        yield
    finally:
        os.kill(child or os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)


def test_after_a_cut_it_accepts_again(proxy, client):
    proxy.cut()
    with connect(proxy) as another:
        assert said(another, b"again") == b"again"


def test_it_cuts_again_and_again_until_told_not_to(proxy):
    proxy.cut_every(0.05)
    for _ in range(3):
        assert is_reset(proxy)
    proxy.cut_every(None)
    with connect(proxy) as client:
        assert is_silent(client)
        assert said(client, b"again") == b"again"


@pytest.mark.parametrize("size", [0, 3])
def test_an_answer_is_lost_after_so_many_bytes(echo, proxy, client, size):
    said(client, b"before")
    proxy.cut_after(size)
    client.sendall(b"question")
    assert received_until_reset(client) == b"question"[:size]
    assert echo.heard == b"beforequestion"
    with connect(proxy) as another:
        assert said(another, b"once") == b"once"


def is_reset(proxy: FaultProxy) -> bool:
    """Whether a new connection is; it may be before `connect` has returned."""
    try:
        with connect(proxy) as client:
            return client.recv(1) is None
    except ConnectionResetError:
        return True


def received_until_reset(client: socket.socket) -> bytes:
    received = b""
    try:
        while byte := client.recv(1):
            received += byte
    except ConnectionResetError:
        return received
    raise AssertionError("it ended without a reset")


def test_a_question_is_lost_after_so_many_bytes(echo, proxy, client):
    proxy.cut_after(3, TO_SERVER)
    client.sendall(b"question")
    received_until_reset(client)
    assert eventually(lambda: echo.heard == b"que")
    assert proxy.counts.to_server == 3


def test_a_half_closed_connection_still_carries_the_other_direction(echo, proxy, client):
    said(client, b"before")
    proxy.half_close()
    assert client.recv(1) == b""
    client.sendall(b"after")
    assert eventually(lambda: echo.heard == b"beforeafter")
    assert client.recv(1) == b""


def test_the_server_can_be_told_that_the_client_has_finished(echo, proxy, client):
    said(client, b"before")
    proxy.half_close(TO_SERVER)
    assert eventually(lambda: echo.ends == ["finished"])
    assert client.recv(1) == b""


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_a_delay_holds_each_chunk_and_not_the_next_one(proxy, client, direction):
    def five() -> None:
        start = time.monotonic()
        for _ in range(5):
            client.sendall(b"x")
            time.sleep(0.02)
        assert receive(client, 5) == b"xxxxx"
        assert time.monotonic() - start >= 0.28

    proxy.delay(**{direction: 0.2})
    assert takes_less(0.9, five)
    proxy.delay()
    assert takes_less(0.15, lambda: said(client, b"fast"))


def test_refusing_leaves_what_is_open(proxy, client):
    said(client, b"before")
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    assert said(client, b"still") == b"still"
    proxy.accept()
    with connect(proxy) as another:
        assert said(another, b"again") == b"again"


def test_a_server_that_is_down_resets_the_client():
    with FaultProxy(HOST, free_ports(1)[0]) as proxy:
        assert is_reset(proxy)


def test_nothing_is_left_after_the_end(proxy):
    client = connect(proxy)
    proxy.stop()
    assert received_until_reset(client) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    assert not proxy._thread.is_alive()
    client.close()
    proxy.start()


@pytest.mark.parametrize(
    ("url", "through"),
    [
        ("redis://127.0.0.1:7000/0", "redis://127.0.0.1:7001/0"),
        ("kv+redis://127.0.0.1:7000/0?a=b", "kv+redis://127.0.0.1:7001/0?a=b"),
        (
            "mongodb://127.0.0.1:7000/kvbackends?replicaSet=rs0",
            "mongodb://127.0.0.1:7001/kvbackends?directConnection=true",
        ),
    ],
)
def test_its_url_is_the_servers_at_another_place(url, through):
    proxy = FaultProxy(HOST, 7000)
    proxy.port = 7001
    assert proxy.url_of(url) == through
    with pytest.raises(ValueError, match="7000"):
        proxy.url_of("redis://127.0.0.1:6379")
