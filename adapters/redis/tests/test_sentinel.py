"""Redis Sentinel: options, credentials, and a primary that dies or is demoted."""

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
import redis
from celery import Celery
from kvbackends_redis import SentinelStore
from kvbackends_redis.connecting.endpoints import of_sentinels
from kvbackends_redis.errors import Refused, Unavailable

from kvbackends import InvalidOption, open_store
from kvbackends.contract import Offer, Part, Rank, StoreURL
from kvbackends.contract.options import fill
from tests.servers import redis_sentinel
from tests.servers.redis_sentinel import PASSWORD, PRIMARY_NAME, SENTINELS_PASSWORD, RedisSentinel


@pytest.fixture(scope="module")
def group() -> Iterator[RedisSentinel]:
    """One whose primary may die: each test leaves it whole."""
    with redis_sentinel() as group:
        yield group


@pytest.fixture
def open_sentinels(group: RedisSentinel) -> Iterator[Callable[..., SentinelStore]]:
    opened: list[SentinelStore] = []

    def open_one(url: str = group.url, **settings: object) -> SentinelStore:
        parsed = StoreURL.parse(url)
        options = fill(SentinelStore.options_type, parsed.query, settings)
        opened.append(SentinelStore.from_url(parsed, options))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


def arguments(url: str, **settings: object) -> dict[str, object]:
    parsed = StoreURL.parse(url)
    made = of_sentinels(parsed, fill(SentinelStore.options_type, parsed.query, settings))
    sentinels = made.arguments["sentinels"]
    return {
        "kind": made.kind.__name__,
        "addresses": sentinels._addresses,
        "name": sentinels._name,
        "least": sentinels._least,
        "theirs": sentinels._arguments,
        **made.arguments,
    }


TRANSPORT = "result_backend_transport_options"


@pytest.mark.parametrize(
    ("url", "settings", "expected"),
    [
        ("sentinel://", {}, {"addresses": [("localhost", 26379)], "name": "mymaster", "db": 0}),
        (
            "sentinel://a:1;b/3?master_name=x",
            {},
            {"addresses": [("a", 1), ("b", 26379)], "name": "x", "db": "3"},
        ),
        (
            "kv+sentinel://:pw@a:1/2;kv+sentinel://:pw@b:2/2",
            {},
            {"addresses": [("a", 1), ("b", 2)], "password": "pw"},
        ),
        ("sentinel://a,b/3", {}, {"addresses": [("a", 26379), ("b", 26379)], "db": "3"}),
        (
            "sentinel://u:pw@a:1/2;sentinel://:other@b:2/2",
            {},
            {"addresses": [("a", 1), ("b", 2)], "username": "u", "password": "pw", "db": "2"},
        ),
        ("sentinel://a", {TRANSPORT: {"master_name": "m"}}, {"name": "m"}),
        ("sentinel://a", {TRANSPORT: {"min_other_sentinels": 2}}, {"least": 2}),
        ("sentinel://a", {}, {"kind": "PrimaryConnection"}),
        ("sentinel://a?ssl=1", {}, {"kind": "SSLPrimaryConnection", "ssl_cert_reqs": "required"}),
        (
            f"sentinel://a?ssl_ca_certs={__file__}",
            {},
            {"kind": "SSLPrimaryConnection", "ssl_ca_certs": __file__, "ssl_check_hostname": True},
        ),
        (
            "sentinel://a",
            {"redis_backend_use_ssl": {"ssl_cert_reqs": "CERT_NONE"}},
            {"kind": "SSLPrimaryConnection", "ssl_cert_reqs": "none"},
        ),
    ],
)
def test_urls_and_settings(url, settings, expected):
    assert expected.items() <= arguments(url, **settings).items()


@pytest.mark.parametrize(
    ("url", "settings", "expected"),
    [
        ("sentinel://:pw@a", {}, {"socket_timeout": 5.0}),
        ("sentinel://a?sentinel_password=pw", {}, {"password": "pw"}),
        ("sentinel://a?sentinel_username=u", {}, {"username": "u"}),
        ('sentinel://a?sentinel_kwargs={"password":"pw"}', {}, {"password": "pw"}),
        (
            "sentinel://a",
            {TRANSPORT: {"sentinel_kwargs": {"password": "pw", "socket_timeout": 1}}},
            {"password": "pw", "socket_timeout": 1},
        ),
        (
            "sentinel://a",
            {TRANSPORT: {"sentinel_kwargs": {"ssl": True}}},
            {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True},
        ),
    ],
)
def test_the_sentinels_have_settings_of_their_own(url, settings, expected):
    theirs = arguments(url, **settings)["theirs"]
    assert expected.items() <= theirs.items()
    if "pw@" in url:
        assert "password" not in theirs


def test_invalid_options_are_refused():
    for text in ('{"nonsense": 1}', "nonsense", "[]"):
        with pytest.raises(InvalidOption, match="sentinel_kwargs"):
            arguments(f"sentinel://a?sentinel_kwargs={text}")


def test_the_sentinels_name_the_server(group, open_sentinels):
    store = open_sentinels()
    store.set("key", b"v", 60)
    assert redis.Redis(port=group.primary_of().port, password=PASSWORD).get("key") == b"v"
    assert isinstance(store.client, redis.Redis)
    assert store.client.get("key") == b"v"


def test_one_living_sentinel_is_enough(group, open_sentinels):
    places = f"127.0.0.1:1;127.0.0.1:{group.sentinels[1].port}"
    options = f"master_name={PRIMARY_NAME}&sentinel_password={SENTINELS_PASSWORD}"
    open_sentinels(f"sentinel://:{PASSWORD}@{places}/0?{options}").ping()
    with pytest.raises(Unavailable, match="No master"):
        open_sentinels(f"sentinel://:{PASSWORD}@127.0.0.1:1/0?{options}").ping()
    with pytest.raises(Unavailable, match="No master"):  # they know two others only
        open_sentinels(f"{group.url}&min_other_sentinels=3").ping()
    open_sentinels(f"{group.url}&min_other_sentinels=2").ping()
    with pytest.raises(Unavailable, match="No master"):
        open_sentinels(group.url.replace(f"={PRIMARY_NAME}", "=other")).ping()


def test_wrong_passwords_are_reported(group, open_sentinels):
    for right in (PASSWORD, SENTINELS_PASSWORD):
        with pytest.raises((Refused, Unavailable)) as told:
            open_sentinels(group.url.replace(right, "wrong")).ping()
        assert "wrong" not in str(told.value)


def test_a_replica_is_not_taken_for_the_primary(group, open_sentinels, monkeypatch):
    """A Sentinel that is late names what was the primary."""
    store = open_sentinels()
    sentinels = store._endpoint.arguments["sentinels"]
    monkeypatch.setattr(sentinels, "primary", lambda: ("127.0.0.1", group.replica_of().port))
    with pytest.raises(Unavailable, match="not the primary"):
        store.get("key")
    monkeypatch.undo()
    store.get("key")


def test_a_forked_child_asks_the_sentinels_itself(open_sentinels):
    store = open_sentinels()
    store.set("key", b"v", 60)
    child = os.fork()
    if child == 0:
        os._exit(0 if store.get("key") else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.get("key")


def unready(_: bytes) -> Rank:
    return Rank.UNREADY


class Writers:
    """Threads that store results and fill chords until they are stopped."""

    def __init__(self, url: str) -> None:
        self.store = open_store(url)
        self.stored: list[str] = []
        self.parts: dict[str, set[int]] = {}
        self.failed: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(i,)) for i in range(4)]
        for each in self._threads:
            each.start()

    def _write(self, number: int) -> None:
        barrier = f"celery-taskset-meta-{uuid.uuid4()}"
        confirmed = self.parts.setdefault(barrier, set())
        try:
            self.store.barrier(barrier, 600).open(b"about")
            while not self._stop.is_set():
                key = f"celery-task-meta-{uuid.uuid4()}"
                offer = Offer(key, b'{"status": "SUCCESS"}', Rank.SUCCEEDED, 600)
                place = len(confirmed)
                self.store.barrier(barrier, 600).finish(Part(place, "m", "d"), offer, unready)
                self.stored.append(key)
                confirmed.add(place)
        except BaseException as error:
            self.failed.append(error)

    def stop(self) -> tuple[set[str], int]:
        """The results and how many parts were confirmed and are not there."""
        self._stop.set()
        for each in self._threads:
            each.join()
        assert not self.failed, self.failed[0].__cause__
        lost = set(self.stored)
        for start in range(0, len(self.stored), 1000):
            lost -= set(self.store.get_batch(self.stored[start : start + 1000]))
        missing = 0
        for barrier, confirmed in self.parts.items():
            found = {place for place, _, _ in self.store.barrier(barrier).parts()}
            missing += len(confirmed - found)
        return lost, missing


@pytest.mark.slow
def test_the_primary_is_killed_under_load(group):
    """Writes that a replica has confirmed survive; workers and waiters carry on."""
    url = f"{group.url}&wait_replicas=1&socket_timeout=3&retry_longest_ms=200"
    writers = Writers(url)
    app = Celery("app", broker="memory://", backend=f"kv+{group.url}")
    task_id = str(uuid.uuid4())
    results: list[object] = []
    waiter = threading.Thread(
        target=lambda: results.append(app.AsyncResult(task_id).get(timeout=40))
    )
    waiter.start()
    time.sleep(1)
    victim, heir = group.primary_of(), group.replica_of()
    victim.kill()
    until = time.monotonic() + 20
    while group.primary_of() is victim and time.monotonic() < until:
        time.sleep(0.1)
    assert group.primary_of() is heir
    app.backend.store_result(task_id, 42, "SUCCESS")
    waiter.join()
    assert results == [42]
    before = len(writers.stored)
    victim.restart()  # until now no replica could confirm
    group.settle()
    until = time.monotonic() + 25
    while len(writers.stored) < before + 200 and time.monotonic() < until:
        time.sleep(0.1)
    assert writers.stop() == (set(), 0)
    assert len(writers.stored) > before + 100
    writers.store.close()
    app.backend.store.close()
    app.backend.store.close()


@pytest.mark.slow
def test_a_primary_that_is_demoted_is_left(group, open_sentinels):
    """Until it knows it takes writes, which are lost; no replica confirms those."""
    store = open_store(f"{group.url}&wait_replicas=1&retry_longest_ms=200")
    subscription = open_sentinels().subscribe()
    subscription.watch(["key"])
    store.set("key", b"1", 60)
    before = group.primary_of()
    group.sentinels[0].run(f"SENTINEL FAILOVER {PRIMARY_NAME}")
    until = time.monotonic() + 20
    while group.primary_of() is before and time.monotonic() < until:
        store.set("key", b"2", 60)
        time.sleep(0.05)
    assert group.primary_of() is not before
    store.set("key", b"3", 60)
    assert redis.Redis(port=group.primary_of().port, password=PASSWORD).get("key") == b"3"
    group.settle()
    with pytest.raises(Unavailable):  # its owner opens a new one
        subscription.wait(10)
    subscription.close()
    store.close()


@pytest.mark.slow
def test_a_primary_that_hangs_is_left(group):
    """It answers nobody; after the failover the calls go elsewhere."""
    store = open_store(f"{group.url}&socket_timeout=0.5&socket_connect_timeout=0.5")
    store.set("key", b"1", 60)
    victim = group.primary_of()
    os.kill(victim.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        store.set("key", b"2", 60)
        assert time.monotonic() - began < 15
        assert group.primary_of() is not victim
    finally:
        os.kill(victim.pid, signal.SIGCONT)
    group.settle()
    store.close()


def test_too_few_replicas_are_reported(group, open_sentinels):
    store = open_sentinels(f"{group.url}&wait_replicas=2&wait_timeout=1")
    with pytest.raises(Unavailable, match="1 replicas confirmed"):
        store.set("key", b"v", 60)
    assert store.get("key")
