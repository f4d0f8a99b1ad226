"""Connections: arguments, errors, interruptions and listeners."""

import contextlib
import os
import signal
import socket
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import hiredis
import pytest
import redis
from celery import Celery
from celery.exceptions import TimeoutError as WaitedTooLong
from kvbackends_redis import RedisStore
from kvbackends_redis.connecting import wire
from kvbackends_redis.connecting.endpoints import of_server
from kvbackends_redis.errors import Refused, Unavailable

from kvbackends import ConfigurationError, InvalidOption, StoreUnavailable, open_store
from kvbackends.contract import Offer, Rank, StoreURL
from kvbackends.contract.options import fill
from kvbackends.testing.areas.interruptions import losing_sockets
from tests.servers import redis_server

PLAIN = Offer("key", b'{"status": "SUCCESS"}', Rank.SUCCEEDED, 60)


def arguments(url: str, **settings: object) -> dict[str, object]:
    parsed = StoreURL.parse(url)
    made = of_server(parsed, fill(RedisStore.options_type, parsed.query, settings))
    return {"kind": made.kind.__name__, "most": made.most, **made.arguments}


class Provider(redis.CredentialProvider):
    def get_credentials(self) -> tuple[str, str]:
        return "somebody", "secret"


@pytest.mark.parametrize(
    ("url", "settings", "expected"),
    [
        ("redis://", {}, {"host": "localhost", "port": 6379, "db": 0, "password": None}),
        ("redis://h:1/2", {"redis_db": 5}, {"host": "h", "port": 1, "db": "2"}),
        ("redis://h", {"redis_db": 5}, {"db": 0}),  # as Celery
        ("redis://h?db=3", {}, {"db": "3"}),
        ("redis://", {"redis_host": "s", "redis_port": 7}, {"host": "s", "port": 7}),
        ("redis://u:p%40w@h", {}, {"username": "u", "password": "p@w"}),
        ("redis://:pw@h", {}, {"username": None, "password": "pw"}),
        (
            "redis://h",
            {"redis_username": "u", "redis_password": "pw"},
            {"username": "u", "password": "pw"},
        ),
        ("redis://h", {"redis_socket_timeout": 120.0}, {"socket_timeout": 5.0}),
        ("redis://h", {"redis_socket_timeout": 3}, {"socket_timeout": 3.0}),
        ("redis://h?socket_timeout=120", {}, {"socket_timeout": 120.0}),
        ("redis://h", {"redis_socket_connect_timeout": 2}, {"socket_connect_timeout": 2.0}),
        ("redis://h", {"redis_socket_keepalive": True}, {"socket_keepalive": True}),
        ("redis://h", {"redis_max_connections": 9}, {"most": 9}),
        ("redis://h", {"redis_client_name": "me"}, {"client_name": "me"}),
        (
            "redis://h",
            {"redis_backend_health_check_interval": 7},
            {"health_check_interval": 7.0},
        ),
        ("redis+socket:///run/r.sock?virtual_host=4", {}, {"path": "/run/r.sock", "db": "4"}),
        ("unix:///run/r.sock", {"redis_db": 5}, {"path": "/run/r.sock", "db": "5"}),
        ("rediss://h", {}, {"kind": "SSLConnection", "ssl_cert_reqs": "required"}),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", {}, {"ssl_cert_reqs": "none"}),
        (
            "redis://h",
            {
                "redis_backend_use_ssl": {
                    "ssl_cert_reqs": ssl.CERT_OPTIONAL,
                    "ssl_ca_certs": __file__,
                }
            },
            {"kind": "SSLConnection", "ssl_cert_reqs": "optional", "ssl_ca_certs": __file__},
        ),
    ],
)
def test_urls_and_settings(url, settings, expected):
    assert expected.items() <= arguments(url, **settings).items()


def test_a_credential_provider_takes_the_place_of_a_password():
    provider = Provider()
    given = arguments("redis://u:pw@h", redis_backend_credential_provider=provider)
    assert given["credential_provider"] is provider
    assert "password" not in given
    with pytest.raises(InvalidOption, match="cannot import"):
        arguments("redis://h?credential_provider=no.such.Thing")
    with pytest.raises(InvalidOption, match="CredentialProvider"):
        arguments("redis://h?credential_provider=decimal.Decimal")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://h/db", "number"),
        ("redis://h/²", "number"),
        ("redis://a,b/0", "one server"),
        ("unix://", "path"),
        ("redis://h?ssl_ca_certs=f", "rediss://"),
        ("rediss://h?ssl_ca_certs=/no/such", "there is no file '/no/such'"),
        ("rediss://h?ssl_cert_reqs=maybe", "required, optional or none"),
        ("redis://h?socket_timeout=soon", "socket_timeout"),
        ("redis://h?socket_timeout=inf", "socket_timeout"),
        ("redis://h?socket_connect_timeout=inf", "socket_connect_timeout"),
        ("redis://h?max_connections=0", "max_connections"),
    ],
)
def test_invalid_urls_are_refused(url, message):
    with pytest.raises(ConfigurationError, match=message):
        arguments(url)


def test_a_silent_server_is_waited_for_within_the_bound():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}?socket_timeout=0.5&retry_timeout=1"
        store = open_store(url)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.get("key")
        app = Celery("app", broker="memory://", backend=f"kv+{url}")
        with pytest.raises((WaitedTooLong, StoreUnavailable)):
            app.AsyncResult("id").get(timeout=1)
        assert time.monotonic() - began < 20
        app.backend.store.close()
        store.close()


def test_no_number_reaches_hiredis_while_connecting(redis_url, open_redis, monkeypatch):
    """A signal handler that raises while hiredis converts a number crashes the process."""
    packed: list[object] = []

    def noting(command: tuple[object, ...]) -> object:
        packed.append(command)
        return pack(command)

    pack = hiredis.pack_command
    monkeypatch.setattr(hiredis, "pack_command", noting)
    monkeypatch.setattr(wire, "pack_command", noting)
    url = urlsplit(redis_url)._replace(path="/5").geturl()
    store = open_redis(f"{url}?client_name=me&lib_name=it&lib_version=2&health_check_interval=1")
    store.set("key", b"v", 60)
    store.increment("number", 7, 60)
    assert store.client.ttl("key") > 0
    assert (b"SELECT", "5") in packed
    assert {type(each) for command in packed for each in command} <= {str, bytes}


@pytest.fixture(scope="module")
def own_server() -> Iterator[redis.Redis]:
    """A server whose configuration a test may change; the fixture restores it."""
    with redis_server("--enable-debug-command", "yes") as server:
        client = redis.Redis.from_url(server.url)
        client.url = server.url
        yield client
        client.close()


@pytest.fixture
def spoiled(own_server: redis.Redis, open_redis) -> Iterator[tuple[redis.Redis, RedisStore]]:
    store = open_redis(own_server.url)
    yield own_server, store
    own_server.replicaof("NO", "ONE")
    own_server.config_set("maxmemory", 0)
    own_server.flushall()


def test_writes_to_a_replica_are_transient_errors(spoiled):
    """After a failover the client may still be connected to what was the primary."""
    client, store = spoiled
    client.replicaof("127.0.0.1", 1)
    for write in (
        lambda: store.set("key", b"v"),
        lambda: store.offer(PLAIN, lambda _: Rank.UNREADY),
        lambda: store.increment("n", 1, None),
    ):
        with pytest.raises(Unavailable):
            write()


def test_a_full_memory_is_reported_at_once(spoiled):
    client, store = spoiled
    client.config_set("maxmemory", 1)
    for value in (PLAIN.value, PLAIN.value + b" " * 100_000):
        with pytest.raises(Refused, match="maxmemory"):
            store.offer(PLAIN._replace(value=value), lambda _: Rank.UNREADY)


def test_wrong_credentials_and_missing_permissions_are_reported(spoiled, open_redis):
    client, _ = spoiled
    address = client.url.removeprefix("redis://")
    client.acl_setuser("worker", enabled=True, passwords=["+right"], keys=["celery*"])
    for url in (f"redis://worker:wrong@{address}", f"redis://worker:right@{address}"):
        with pytest.raises(Refused) as told:
            open_redis(url).set("key", b"v")
        assert "right" not in str(told.value)
    client.acl_setuser(
        "worker", categories=["+@all"], channels=["celery*"], reset_channels=True, enabled=True
    )
    store = open_redis(f"redis://worker:right@{address}")
    for key, more in (("celery-1", 0), ("celery-2", 100_000)):  # also what is used besides the key
        offer = PLAIN._replace(key=key, value=PLAIN.value + b" " * more)
        assert store.offer(offer, lambda _: Rank.UNREADY)
    store.barrier("celery-taskset-meta-1", 60).open(b"")
    with pytest.raises(Refused, match="key"):
        store.set("other", b"v")
    store.client.lpush("celery-list", "x")
    with pytest.raises(Refused, match="WRONGTYPE"):
        store.get("celery-list")


@losing_sockets()
def test_an_interrupted_exchange_harms_no_other(store):
    """A soft time limit between send and answer: the next call must not read this answer."""
    store.set("key", b"right")
    store.client.set("slow", b"wrong" * 1000)

    class Limit(BaseException):
        pass

    def strike(*_: object) -> None:
        raise Limit

    before = signal.signal(signal.SIGALRM, strike)
    try:
        struck = 0
        for i in range(300):
            until = time.monotonic() + 0.2  # where the strike is swallowed by a finaliser
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0001 + i * 0.000002)
                while time.monotonic() < until:
                    store.get("slow")
            except Limit:
                struck += 1
            assert store.get("key").value == b"right"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert struck > 250


def test_a_lost_server_costs_one_error(store):
    """The idle connections to it are not tried one after the other."""
    together = threading.Barrier(4)

    def use() -> None:
        together.wait()
        store.client.execute_command("PING")
        store._connections().call("EVAL", "for i = 1, 1e5 do end return 1", 0)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    store.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with pytest.raises(Unavailable):
        store.get("key")
    for _ in range(8):
        store.get("key")


def test_more_threads_than_connections_take_turns(open_redis):
    store = open_redis(redis_max_connections=2, redis_client_name="few")
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(50):
                store.set("key", b"v", 60)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed
    assert len(store._connections()._alive) <= 2


def test_connections_are_made_while_the_store_is_closed(store):
    """By other threads, as often as there is a switch between them."""
    connections, done = store._connections(), threading.Event()
    kept = [connections.for_listening() for _ in range(30)]

    def make() -> None:
        while not done.is_set():
            kept.append(connections.for_listening())
            del kept[30:]

    maker = threading.Thread(target=make)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        maker.start()
        for _ in range(10_000):
            connections.close()
    finally:
        sys.setswitchinterval(interval)
        done.set()
        maker.join()


@pytest.mark.parametrize("error", [None, AttributeError("no sendall"), ValueError("closed")])
def test_a_connection_that_is_closed_while_it_is_made_is_lost(error, monkeypatch, store):
    """By another thread: redis-py then uses a socket that is gone, or connects all the same."""
    connections = store._connections()
    connect, opened = redis.Connection.connect, []

    def cut(connection):
        connect(connection)
        opened.append(connection)
        connections.close()
        if error is not None:
            raise error

    monkeypatch.setattr(redis.Connection, "connect", cut)
    with pytest.raises(Unavailable, match="another thread"):
        connections.call("PING")
    with (
        contextlib.closing(store.subscribe()) as subscription,
        pytest.raises(Unavailable, match="another thread"),
    ):
        subscription.watch(["key"])
    assert [each._sock for each in opened] == [None, None]


def test_a_subscription_that_another_thread_closes_raises(store):
    """Not an error of its socket, in whatever step."""
    for step in (lambda each: each.wait(0.1), lambda each: each.watch(["other"])):
        subscription = store.subscribe()
        subscription.watch(["key"])
        [listener] = subscription._listeners.opened()
        listener._link.sock.close()
        with pytest.raises(Unavailable):
            step(subscription)
        subscription.close()


def test_a_subscription_raises_when_its_connection_is_lost(store, open_redis):
    subscription = store.subscribe()
    subscription.watch(["key"])
    open_redis().client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    with pytest.raises(Unavailable):
        subscription.wait(5)
    subscription.close()


def test_a_wait_outlives_its_connection(redis_url):
    """The subscription is made again; the waiter gets its result."""
    app = Celery("app", broker="memory://", backend=f"kv+{redis_url}")
    task_id = str(uuid.uuid4())
    client = redis.Redis.from_url(redis_url)

    def cut_and_store() -> None:
        time.sleep(0.3)
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        time.sleep(0.3)
        app.backend.store_result(task_id, 42, "SUCCESS")

    thread = threading.Thread(target=cut_and_store)
    thread.start()
    assert app.AsyncResult(task_id).get(timeout=10) == 42
    thread.join()
    app.backend.store.close()
    client.close()


def test_a_silent_subscription_is_health_checked(open_redis):
    """A connection that died silently is an error within the timeout."""
    with redis_server() as server:
        store = open_redis(f"{server.url}?health_check_interval=0.2&socket_timeout=2")
        subscription = store.subscribe()
        subscription.watch(["key"])
        assert not subscription.wait(0.6)  # asked, and answered
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable):
                subscription.wait(20)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        subscription.close()


def test_a_unix_socket_with_a_database(tmp_path, open_redis):
    path = tmp_path / "r.sock"
    with redis_server("--unixsocket", str(path)):
        for scheme in ("unix", "redis+socket"):
            store = open_redis(f"{scheme}://{path}?virtual_host=1")
            store.set(scheme, b"v", 60)
            assert store.client.get(scheme) == b"v"
            assert store.client.connection_pool.connection_kwargs["db"] == "1"
