"""Each option and each setting of Celery's has its effect or is refused."""

import contextlib
import inspect
import re
import threading
import time
import uuid
from pathlib import Path

import pytest
import redis
from celery import Celery, chord
from celery.app.defaults import NAMESPACES
from celery.backends.redis import RedisBackend
from kvbackends_redis import ClusterStore, RedisStore
from kvbackends_redis.cluster.slots import slot_of
from kvbackends_redis.connecting.connections import Connections, Sent
from kvbackends_redis.connecting.endpoints import of_cluster, of_server
from kvbackends_redis.connecting.replicated import _Waiting
from kvbackends_redis.errors import Unavailable
from kvbackends_redis.operations.barriers import keys_of
from redis.connection import URL_QUERY_ARGUMENT_PARSERS
from redis.exceptions import MovedError, ResponseError

from kvbackends import (
    ConfigurationError,
    InvalidOption,
    StoreError,
    StoreUnavailable,
    UnknownOption,
    open_store,
)
from kvbackends.contract import StoreURL
from kvbackends.contract.options import declared, fill
from kvbackends.layers.layer import innermost
from kvbackends.plugins.opening import core_options
from tests.backend.bench import Bench
from tests.backend.tasks import add_tasks
from tests.servers import redis_server
from tests.servers.process import eventually
from tests.servers.redis_cluster import redis_cluster
from tests.support.stalls import takes_less

TRANSPORT = "result_backend_transport_options"


CLIENTS = ("decode_responses=true", "protocol=3", "socket_read_size=1000", "encoding=latin-1")
"""Options of the plain client."""


def made(url: str, **settings: object):
    parsed = StoreURL.parse(url)
    if "cluster" in parsed.scheme:
        return of_cluster(parsed, fill(ClusterStore.options_type, parsed.query, settings))
    return of_server(parsed, fill(RedisStore.options_type, parsed.query, settings))


def test_every_option_that_the_driver_reads_from_a_url_is_known():
    known = {each.name for each in declared(RedisStore.options_type)}
    assert set(URL_QUERY_ARGUMENT_PARSERS) <= known


def test_every_setting_of_celerys_backend_is_known():
    """Those that its defaults declare, and those that its code asks for besides."""
    known = {each.setting for each in declared(RedisStore.options_type)}
    declared_there = {f"redis_{name}" for name in NAMESPACES["redis"] if name != "__old__"}
    asked_besides = {
        "redis_client_name",
        "redis_backend_health_check_interval",
        "redis_backend_credential_provider",
    }
    assert declared_there | asked_besides <= known


def test_the_lowest_versions_of_the_drivers_are_tried():
    """`make test-redis-lowest` runs on what `pyproject.toml` allows at least."""
    root = Path(__file__).parents[3]
    allowed = (root / "adapters/redis/pyproject.toml").read_text()
    tried = (root / "requirements/redis-lowest.in").read_text()
    for name in ("redis", "hiredis"):
        [lowest] = re.findall(rf'"{name}>=([\d.]+)', allowed)
        [pinned] = re.findall(rf"^{name}==([\d.]+)$", tried, re.MULTILINE)
        assert pinned.removesuffix(".0").removesuffix(".0") == lowest


def test_an_unknown_option_is_refused():
    for scheme in ("redis", "redis+cluster"):
        with pytest.raises(UnknownOption, match="master_name"):
            open_store(f"{scheme}://h?master_name=x")
    with pytest.raises(UnknownOption, match="socket_timeout"):
        open_store("sentinel://h?socket_timeot=1")


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("redis+cluster://", [("localhost", 6379)]),
        ("redis+cluster://a:1,b:2", [("a", 1), ("b", 2)]),
        ("redis+cluster://a;b:2/0", [("a", 6379), ("b", 2)]),
        ("redis+cluster://u:pw@a:1;redis+cluster://u:pw@b:2", [("a", 1), ("b", 2)]),
        ("rediss+cluster://[::1]:1,a", [("::1", 1), ("a", 6379)]),
    ],
)
def test_the_nodes_of_a_cluster(url, hosts):
    endpoint = made(url)
    assert list(endpoint.seeds) == hosts
    assert endpoint.at(("c", 3))["host"] == "c"
    assert endpoint.kind is (redis.SSLConnection if "rediss" in url else redis.Connection)
    if "rediss" in url:
        assert endpoint.arguments["ssl_cert_reqs"] == "required"
        assert endpoint.arguments["ssl_check_hostname"] is True
    if "pw" in url:
        assert endpoint.arguments["password"] == "pw"


@pytest.mark.parametrize(
    ("url", "settings", "message"),
    [
        ("redis://h?ssl_include_verify_flags=X", {}, "rediss"),
        ("rediss://h?ssl_include_verify_flags=NOTHING", {}, "VerifyFlags"),
        ("redis://h", {"redis_backend_use_ssl": {"nonsense": 1}}, "nonsense"),
        ("redis://h?wait_replicas=1&wait_timeout=9", {}, "wait_timeout"),
        ("redis://h?wait_replicas=-1", {}, "wait_replicas"),
        ("redis://h?protocol=4", {}, "protocol"),
        ("redis://h", {TRANSPORT: {"additional_connection_errors": "no.such.Error"}}, "import"),
        ("redis://h", {TRANSPORT: {"additional_connection_errors": [dict]}}, "exception class"),
    ],
)
def test_invalid_options_are_refused(url, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        made(url, **settings)


@pytest.mark.skipif(
    "ssl_include_verify_flags" not in inspect.signature(redis.SSLConnection).parameters,
    reason="this redis-py has no such option",
)
def test_verify_flags_are_passed_to_the_driver():
    arguments = made("rediss://h?ssl_include_verify_flags=VERIFY_X509_STRICT").arguments
    assert [flag.name for flag in arguments["ssl_include_verify_flags"]] == ["VERIFY_X509_STRICT"]


def test_additional_errors_are_retried(redis_url, monkeypatch):
    """Errors from the driver that are not its own, for example of a credential provider."""

    class Passing(Exception):
        pass

    settings = {TRANSPORT: {"additional_connection_errors": (Passing, "decimal.DivisionByZero")}}
    store = open_store(redis_url, settings)
    call, failures = Connections.call, iter([Passing()])

    def failing(connections: Connections, *command: object) -> object:
        for error in failures:
            raise error
        return call(connections, *command)

    monkeypatch.setattr(Connections, "call", failing)
    store.set("key", b"v", 60)
    assert store.get("key")
    store.close()
    other = open_store(redis_url)
    failures = iter([Passing()])
    with pytest.raises(Passing):
        other.set("key", b"v", 60)
    other.close()


def test_celerys_retry_policy_sets_the_retry_options():
    policy = {"timeout": 3.0, "max_retries": 7, "interval_start": 0.5, "interval_max": 2}
    options = core_options(StoreURL.parse("redis://h"), {TRANSPORT: {"retry_policy": policy}})
    assert (options.retry_timeout, options.retry_attempts) == (3.0, 7)
    assert (options.retry_first_ms, options.retry_longest_ms) == (500, 2000)
    policy = {"max_retries": 3, "interval_start": 0, "interval_max": 0}
    options = core_options(StoreURL.parse("redis://h"), {TRANSPORT: {"retry_policy": policy}})
    assert (options.retry_first_ms, options.retry_longest_ms) == (0, 0)
    url = StoreURL.parse("redis://h?retry_timeout=9")
    options = core_options(
        url, {TRANSPORT: {"retry_policy": {"timeout": 3.0, "max_retries": None}}}
    )
    assert options.retry_timeout == 9
    assert options.retry_attempts == float("inf")
    with pytest.raises(InvalidOption, match="retry_timeout"):
        core_options(StoreURL.parse("redis://h"), {TRANSPORT: {"retry_policy": {"timeout": "x"}}})


@pytest.mark.parametrize("scheme", ["redis+cluster", "sentinel"])
def test_a_url_of_a_single_server_is_told(redis_url, scheme):
    """At once, with the scheme that is right."""
    url = redis_url.replace("redis://", f"{scheme}://").removesuffix("/0")
    store = open_store(url)
    with pytest.raises(StoreError, match=rf"redis:// in place of {re.escape(scheme)}://"):
        store.get("key")
    store.close()


def test_a_policy_bounds_a_call():
    settings = {TRANSPORT: {"retry_policy": {"timeout": 0.5}}}
    store = open_store("redis://127.0.0.1:1", settings)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.get("key")
    assert time.monotonic() - began < 10  # thirty are usual


def test_a_prefix_for_all_keys(redis_url):
    """`global_keyprefix`, as Celery's own backend has it."""
    options = {TRANSPORT: {"global_keyprefix": "mine"}}
    ours = Celery("app", broker="memory://", backend=f"kv+{redis_url}")
    ours.conf.update(options)
    theirs = Celery("app", broker="memory://", backend=redis_url)
    theirs.conf.update(options)
    task_id = str(uuid.uuid4())
    ours.backend.store_result(task_id, 42, "SUCCESS")
    assert ours.backend.client.exists(f"mine_celery-task-meta-{task_id}")
    assert isinstance(theirs.backend, RedisBackend)
    assert theirs.backend.get_result(task_id) == 42
    theirs.backend.client.close()
    ours.backend.store.close()


def test_a_prefix_with_a_hash_tag_begins_the_keys_of_chords_too():
    """A user whose ACL allows `{app}:*` and nothing else sends a chord."""
    with redis_server() as server, redis.Redis.from_url(server.url) as admin:
        admin.execute_command(
            "ACL", "SETUSER", "app", "on", ">pw", "resetchannels", "+@all", "~{app}:*", "&{app}:*"
        )
        url = server.url.replace("redis://", "kv+redis://app:pw@")
        app = Celery("app", broker="memory://", backend=url, set_as_current=False)
        app.conf.update({TRANSPORT: {"global_keyprefix": "{app}:"}})
        add_tasks(app)
        app.bench = Bench(app)
        app.set_current()
        body = chord([app.tasks["echo"].s(1), app.tasks["echo"].s(2)], app.tasks["echo"].s())()
        for _ in range(3):
            app.bench.run(app.bench.take())
        assert body.get(timeout=10) == [1, 2]
        assert all(key.startswith(b"{app}:") for key in admin.scan_iter())
        app.backend.store.close()
        app.close()


@pytest.mark.parametrize("name", ["", "%", "a", "a{b}c", "a{}b", "a}b{c", "celery-{x", "}{a}{"])
def test_the_keys_of_a_barrier_are_in_one_slot(name):
    keys = keys_of(name)
    assert len({slot_of(key) for key in keys}) == 1
    if "{b}" in name or "{a}" in name:
        assert all(key.startswith(name) for key in keys)
        assert slot_of(keys[0]) == slot_of(name)


def test_the_keys_of_two_barriers_differ():
    names = ["", "%", "a", "abcd", "ab{cd}", "ab{cd}-", "ab{cd", "ab%7Bcd", "{%}", "{}", "ab{cd}}"]
    assert len({key for name in names for key in keys_of(name)}) == 3 * len(names)


def test_the_plain_client_has_its_own_options(redis8_url):
    store = innermost(open_store(f"{redis8_url}?{'&'.join(CLIENTS)}&client_name=me&lib_name=it"))
    store.set("key", b"\xff", 60)
    assert store.get("key").value == b"\xff"
    store.set("key", b"text", 60)
    assert store.client.get("key") == "text"
    assert store.client.client_getname() == "me"
    assert store._connections().call("CLIENT", "GETNAME") == b"me"
    if "lib-name" in (listed := store.client.client_info()):  # Redis 7.2
        assert listed["lib-name"] == "it"
    store.close()


def test_timeout_bounds_the_wait_for_a_connection(redis_url):
    parsed = StoreURL.parse(f"{redis_url}?max_connections=1&timeout=0.2&socket_timeout=60")
    store = RedisStore.from_url(parsed, fill(RedisStore.options_type, parsed.query, {}))
    name = f"none-{uuid.uuid4()}"
    busy = threading.Thread(target=lambda: store._connections().call("BLPOP", name, 0))

    def get() -> None:
        with pytest.raises(Unavailable, match="max_connections"):
            store.get("key")

    with redis.Redis.from_url(redis_url) as client:
        busy.start()
        assert eventually(lambda: client.info("clients")["blocked_clients"] > 0)
        assert takes_less(0.7, get)
        client.lpush(name, "go on")
    busy.join()
    store.close()


@pytest.mark.parametrize("version", ["7.0", pytest.param("8", marks=pytest.mark.slow)])
def test_a_write_that_was_not_confirmed_is_not_taken_for_confirmed_later(version):
    """A second attempt has nothing to do: WAIT must wait for the first one all the same."""
    with redis_server(version=version) as primary, redis_server(version=version) as replica:
        admin = redis.Redis(port=replica.port)
        admin.replicaof("127.0.0.1", primary.port)
        parsed = StoreURL.parse(f"{primary.url}?wait_replicas=1&wait_timeout=0.3")
        store = RedisStore.from_url(parsed, fill(RedisStore.options_type, parsed.query, {}))

        def confirmed() -> bool:
            with contextlib.suppress(Unavailable):
                store.set("key", b"v", 60)
                return True
            return False

        assert eventually(confirmed, 20)
        replica.pause()
        try:
            for _ in range(2):  # on another connection the second time
                with pytest.raises(Unavailable, match="0 replicas"):
                    store.touch("absent", 60)
                with pytest.raises(Unavailable, match="0 replicas"):
                    store.delete("absent")
                store._connections()._free.clear()
            assert store.get("key")  # reading waits for nobody
        finally:
            replica.resume()
        assert eventually(confirmed, 20)
        assert [key for key in store.scan("") if "kvbackends" in key] == []
        admin.close()
        store.close()


def test_a_write_of_many_keys_is_confirmed_where_some_have_moved(store):
    """Those that were led elsewhere are confirmed there; the others were written here."""
    connections, left = store._connections(), []

    def answers(*given: object) -> list[object]:
        sent = Sent(connections, connections._new(), len(given) + 2)
        sent.answers = lambda: [*given, b"OK", 0]
        return _Waiting(sent, len(given), 1, lambda: left.append(given)).answers()

    moved = MovedError("1 127.0.0.1:1")
    with pytest.raises(Unavailable, match="0 replicas"):
        answers(1, moved)
    assert answers(moved, moved) == [moved, moved]
    refused = ResponseError("OOM")
    assert answers(1, moved, refused) == [1, moved, refused]
    assert left == [(1, moved)]


def test_replicas_confirm_on_a_cluster():
    with redis_cluster() as cluster:
        store = innermost(open_store(f"{cluster.url}?wait_replicas=1&wait_timeout=4"))
        for i in range(30):
            store.set(f"key-{i}", b"v" * i, 60)
        assert len(store.get_batch([f"key-{i}" for i in range(30)])) == 30
        store.delete_batch([f"key-{i}" for i in range(30)])
        assert store.get("key-3") is None
        store.close()
        store = innermost(open_store(f"{cluster.url}?wait_replicas=2&wait_timeout=1"))
        with pytest.raises(Unavailable, match="1 replicas"):
            store.set("key", b"v", 60)
        store.close()
