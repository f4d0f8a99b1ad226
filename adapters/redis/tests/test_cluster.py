"""Redis Cluster: routing, moving slots, subscriptions and a dying primary."""

import itertools
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
import redis
from celery import Celery
from kvbackends_redis import ClusterStore
from kvbackends_redis.cluster.slots import PAUSE, slot_of
from kvbackends_redis.connecting.connections import Connections
from kvbackends_redis.errors import Unavailable
from kvbackends_redis.operations import scripts
from kvbackends_redis.operations.barriers import keys_of

from kvbackends import ConfigurationError, open_store
from kvbackends.contract import Offer, Outcome, Part, Rank, StoreURL
from kvbackends.contract.options import fill
from kvbackends.testing.areas.interruptions import losing_sockets
from tests.servers import redis_cluster
from tests.servers.process import eventually
from tests.servers.redis_access import ALLOWED
from tests.servers.redis_cluster import ClusterNode, RedisCluster

LARGE = 20_000
SLOTS = 16_384
KEYS = "~celery* ~chord-unlock-* &celery*"
MORE_ON_A_CLUSTER = "+cluster|slots +asking +ssubscribe +sunsubscribe +spublish"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """One whose slots are moved."""
    with redis_cluster() as cluster:
        yield cluster


@pytest.fixture
def open_cluster(cluster: RedisCluster) -> Iterator[Callable[..., ClusterStore]]:
    opened: list[ClusterStore] = []

    def open_one(url: str = cluster.url, **settings: object) -> ClusterStore:
        parsed = StoreURL.parse(url)
        options = fill(ClusterStore.options_type, parsed.query, settings)
        opened.append(ClusterStore.from_url(parsed, options))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def store(open_cluster: Callable[..., ClusterStore]) -> ClusterStore:
    store = open_cluster()
    store.ping()
    return store


def offer(key: str, size: int = 0, rank: Rank = Rank.SUCCEEDED) -> Offer:
    state = b"SUCCESS" if rank is Rank.SUCCEEDED else b"STARTED"
    return Offer(key, b'{"status": "%s", "result": "%s"}' % (state, b"x" * size), rank, 600)


def unready(_: bytes) -> Rank:
    return Rank.UNREADY


def new_key() -> str:
    return f"celery-task-meta-{uuid.uuid4()}"


class Sends:
    """Counts what is sent to any node."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.to: list[Connections] = []
        take = Connections._take

        def counting(connections: Connections) -> object:
            self.to.append(connections)
            return take(connections)

        monkeypatch.setattr(Connections, "_take", counting)

    @contextmanager
    def counted(self, sends: int, nodes: int) -> Iterator[None]:
        self.to.clear()
        yield
        assert (len(self.to), len(set(self.to))) == (sends, nodes)


@pytest.fixture
def sends(store: ClusterStore, monkeypatch: pytest.MonkeyPatch) -> Sends:
    """After every node was sent every script."""
    connections = store._connections()
    for node in connections.primaries():
        for each in vars(scripts).values():
            if isinstance(each, scripts.Script):
                node.call("SCRIPT", "LOAD", connections.spelled(each).text)
    return Sends(monkeypatch)


class Moving:
    """Moves slots from node to node, as redis-cli does, but step by step."""

    def __init__(self, cluster: RedisCluster) -> None:
        self.clients = {
            node.id: redis.Redis(port=node.port, socket_timeout=5) for node in cluster.nodes[:3]
        }
        self.ports = {node.id: node.port for node in cluster.nodes}

    def owner(self, slot: int) -> str:
        nodes = next(iter(self.clients.values())).execute_command("CLUSTER SLOTS")
        return next(
            entry[2][2].decode() for entry in nodes if int(entry[0]) <= slot <= int(entry[1])
        )

    def begin(self, slot: int) -> tuple[str, str]:
        source = self.owner(slot)
        target = next(each for each in self.clients if each != source)
        self.clients[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source)
        self.clients[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target)
        return source, target

    def keys(self, slot: int, source: str, target: str, *names: str) -> None:
        """Move these keys, or all."""
        client, port = self.clients[source], self.ports[target]
        while found := names or client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 20):
            client.execute_command("MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS", *found)
            if names:
                return

    def end(self, slot: int, source: str, target: str) -> None:
        """And wait until all know: a node that disagrees takes slots back and drops their keys."""
        for each in (target, source, *self.clients):
            self.clients[each].execute_command("CLUSTER", "SETSLOT", slot, "NODE", target)
        assert eventually(self._agree, 20)

    def _agree(self) -> bool:
        """Whether the primaries know the same owners, with epochs that differ."""
        views = {self._view(client) for client in self.clients.values()}
        return len(views) == 1 and len({epoch for _, epoch, *_ in next(iter(views))}) == 3

    def _view(self, client: redis.Redis) -> frozenset[tuple[str, ...]]:
        """Each primary's name, epoch and slots."""
        lines = client.execute_command("CLUSTER NODES")
        return frozenset(
            (name, line["epoch"], str(line["slots"]))
            for name, line in lines.items()
            if line["node_id"] in self.clients
        )

    def whole(self, slot: int) -> None:
        ends = self.begin(slot)
        self.keys(slot, *ends)
        self.end(slot, *ends)

    def close(self) -> None:
        for each in self.clients.values():
            each.close()


@pytest.fixture
def moving(cluster: RedisCluster) -> Iterator[Moving]:
    moving = Moving(cluster)
    yield moving
    moving.close()


def test_each_operation_goes_to_its_node(store, sends):
    key, group = new_key(), str(uuid.uuid4())
    barrier = store.barrier(f"celery-taskset-meta-{group}", 60)
    part = Part(0, "m", "d")
    with sends.counted(1, 1):
        store.offer(offer(key), unready)
    with sends.counted(1, 1):
        store.offer(offer(new_key(), LARGE), unready)
    with sends.counted(1, 1):
        assert store.get(key)
    with sends.counted(1, 1):
        store.set(new_key(), b"v")
    with sends.counted(1, 1):
        store.increment(new_key(), 1, 60)
    with sends.counted(1, 1):
        barrier.open(b"about")
    with sends.counted(1, 1):
        barrier.expect(part._replace(place=-1, member="size"), 2)
    waiting = Offer(key_beside(barrier.name), b'{"status": "SUCCESS"}', Rank.SUCCEEDED, 60)
    with sends.counted(2, 2):  # the part, then the result
        assert barrier.finish(part, waiting, unready).outcome is Outcome.WAITING
    last = part._replace(place=1, member="n")
    with sends.counted(1, 1):  # the result of the last comes with the end
        assert barrier.finish(last, waiting, unready).outcome is Outcome.CLAIMED
    with sends.counted(1, 1):
        assert len(list(barrier.parts())) == 2
    with sends.counted(1, 1):
        assert barrier.renew(last)
    with sends.counted(2, 2):
        barrier.close(last, waiting, unready)


def key_beside(barrier: str) -> str:
    """A result in the slot of another node."""
    ours = slot_of(keys_of(barrier)[0]) * 3 // SLOTS
    return next(key for key in iter(new_key, "") if slot_of(key) * 3 // SLOTS != ours)


def test_many_keys_are_one_send_to_each_node(store, sends):
    keys = [new_key() for _ in range(100)]
    for key in keys[:90]:
        store.set(key, key.encode(), 60)
    with sends.counted(3, 3):
        found = store.get_batch(keys)
    assert found == {key: key.encode() for key in keys[:90]}
    with sends.counted(3, 3):
        store.delete_batch(keys)
    assert store.get_batch(keys) == {}


@pytest.mark.parametrize("size", [0, LARGE])
def test_a_slot_that_has_moved_costs_one_send_once(store, sends, moving, size):
    key = new_key()
    store.offer(offer(key, rank=Rank.UNREADY), unready)
    moving.whole(slot_of(key))
    with sends.counted(2, 2):
        assert store.offer(offer(key, size), unready)
    slots = store._connections().slots
    assert eventually(lambda: slots.update() or not slots._doubted)  # the map has been read again
    with sends.counted(1, 1):
        entry = store.get(key)
    assert entry == (offer(key, size).value,) * 2


def test_keys_of_a_moving_slot_are_found_at_both_nodes(store, moving):
    """A key that has moved is found on the new node, one that has not on the old."""
    tag = uuid.uuid4()
    here, there, new = (f"celery-{name}-{{{tag}}}" for name in ("here", "there", "new"))
    for key in (here, there):
        store.set(key, key.encode(), 60)
    slot = slot_of(here)
    source, target = moving.begin(slot)
    moving.keys(slot, source, target, there)
    try:
        assert store.get_batch([here, there, new]) == {here: here.encode(), there: there.encode()}
        assert store.offer(offer(new), unready)
        assert store.compare_and_set(there, b"v", there.encode(), 60)
        assert store.increment(f"n-{{{tag}}}", 1, 60) == 1
        subscription = store.subscribe()
        subscription.watch([here])
        store.offer(offer(f"more-{{{tag}}}"), unready)
        subscription.close()
        with pytest.raises(Unavailable, match="during rehashing"):  # two keys, one is there
            store.offer(offer(here, LARGE), unready)
        assert moving.clients[target].execute_command("CLUSTER", "COUNTKEYSINSLOT", slot) == 5
    finally:
        moving.keys(slot, source, target)
        moving.end(slot, source, target)
    assert store.offer(offer(f"large-{{{tag}}}", LARGE), unready)
    assert len(store.get_batch([here, there, new])) == 3


def test_a_chord_waits_until_its_slot_has_moved(cluster, store, moving):
    """Its three keys are in two places meanwhile; the retries last longer."""
    name, part = f"celery-taskset-meta-{uuid.uuid4()}", Part(0, "m", "d")
    store.barrier(name, 60).open(b"about")
    slot = slot_of(keys_of(name)[0])
    source, target = moving.begin(slot)
    with pytest.raises(Unavailable):
        store.barrier(name, 60).arrive(part, b"v")

    def finish_moving() -> None:
        time.sleep(0.5)
        moving.keys(slot, source, target)
        moving.end(slot, source, target)

    thread = threading.Thread(target=finish_moving)
    thread.start()
    retrying = open_store(cluster.url)
    assert retrying.barrier(name, 60).arrive(part, b"v").outcome is Outcome.WAITING
    thread.join()
    assert [value for _, _, value in retrying.barrier(name).parts()] == [b"v"]
    retrying.close()


def test_parts_that_move_while_they_are_read_are_all_read(cluster, store, moving):
    """The values of keys on another server are in the same order."""
    barrier = f"celery-taskset-meta-{uuid.uuid4()}"
    store.barrier(barrier, 600).open(b"about")
    for place in range(3000):
        store.barrier(barrier, 600).arrive(Part(place, f"m{place}", "d"), b"v")
    slot = slot_of(keys_of(barrier)[0])
    read = 0
    for _ in range(6):
        with suppress(Unavailable):  # while the nodes do not agree
            reading = store.barrier(barrier).parts()
            first = next(reading)
            moving.whole(slot)
            assert sorted(place for place, _, _ in [first, *reading]) == list(range(3000))
            read += 1
    assert read


def test_slots_move_while_eight_threads_write(cluster, moving):
    """No write is lost or refused, and every chord is claimed once."""
    store = open_store(cluster.url)
    stop, failed = threading.Event(), []
    stored: list[str] = []
    chords: list[tuple[str, int]] = []
    sums: list[int] = []

    def write() -> None:
        try:
            while not stop.is_set():
                key = new_key()
                store.offer(offer(key, rank=Rank.UNREADY), unready)
                assert store.offer(offer(key, LARGE if len(stored) % 5 == 0 else 0), unready)
                stored.append(key)
                chords.append((key, chord(store)))
                others(store)
                sums.append(store.increment("celery-sum", 1, 600))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for each in threads:
        each.start()
    moved = 0
    until = time.monotonic() + 8
    while time.monotonic() < until and not failed:
        busy = [slot_of(key) for key in ["celery-sum", *stored[-20:]]]
        for slot in busy:
            moving.whole(slot)
            moved += 1
    stop.set()
    for each in threads:
        each.join()
    assert not failed, failed[0].__cause__
    assert moved > 20
    assert len(stored) > 100
    assert [claims for _, claims in chords if claims != 1] == []
    found = store.get_batch(stored[:1000])
    assert set(found) == set(stored[:1000])
    assert sorted(sums) == list(range(1, len(sums) + 1))
    store.close()


def others(store) -> None:
    """The rest of the operations."""
    keys = [new_key() for _ in range(5)]
    for key in keys:
        assert store.compare_and_set(key, b"1", None, 600)
        assert store.compare_and_set(key, b"2", store.get(key).version, 600)
        assert not store.compare_and_set(key, b"3", b"1", 600)
        assert store.touch(key, 300)
    assert store.get_batch(keys) == dict.fromkeys(keys, b"2")
    assert store.add_member(keys[0] + "-set", "m", 600) == {"m"}
    store.set(keys[0], b"3")
    store.delete(keys[0])
    store.delete_batch(keys[1:])
    assert store.get_batch(keys) == {}


def chord(store) -> int:
    """Three parts; how many of them were told to go on."""
    barrier = f"celery-taskset-meta-{uuid.uuid4()}"
    store.barrier(barrier, 60).open(b"about")
    store.barrier(barrier, 60).expect(Part(-1, "size", "s"), 3)
    claims = 0
    for place in range(3):
        part = Part(place, f"m{place}", f"d{place}")
        result = offer(new_key())
        if store.barrier(barrier, 60).finish(part, result, unready).outcome is Outcome.CLAIMED:
            claims += 1
            assert len(list(store.barrier(barrier).parts())) == 3
            store.barrier(barrier, 60).close(part, result, unready)
    return claims


def test_one_connection_listens_at_each_node(store, sends):
    keys = [new_key() for _ in range(60)]
    subscription = store.subscribe()
    subscription.watch(keys)
    assert len(subscription._listeners.opened()) == 3
    for key in keys:
        store.offer(offer(key, LARGE if key is keys[0] else 0), unready)
    heard: set[str] = set()
    until = time.monotonic() + 5
    while heard != set(keys) and time.monotonic() < until:
        heard |= set(subscription.wait(1))
    assert heard == set(keys)
    subscription.unwatch(keys)
    store.delete(keys[0])
    store.offer(offer(keys[0]), unready)
    assert not subscription.wait(0.2)
    subscription.close()


def test_a_listener_follows_its_slot(store, moving):
    key = new_key()
    subscription = store.subscribe()
    subscription.watch([key])
    moving.whole(slot_of(key))
    assert set(subscription.wait(5)) == {key}  # something may have been missed meanwhile
    store.offer(offer(key), unready)
    assert set(subscription.wait(5)) == {key}
    subscription.close()


def test_a_listener_with_an_outdated_map_follows_moved(store, moving):
    key = new_key()
    subscription = store.subscribe()
    moving.whole(slot_of(key))
    subscription.watch([key])
    store.offer(offer(key), unready)
    assert set(subscription.wait(5)) == {key}
    subscription.close()


def test_unsubscribing_from_a_moved_channel_is_no_error(store, moving):
    """The server's answer is an error, and no answer to a question of ours."""
    key, others = new_key(), [new_key() for _ in range(30)]
    subscription = store.subscribe()
    subscription.watch([key])
    moving.whole(slot_of(key))
    subscription.unwatch([key])  # before what the server said of it was read
    subscription.watch(others)
    for each in others:
        store.offer(offer(each), unready)
    heard: set[str] = set()
    assert eventually(lambda: heard.update(subscription.wait(1)) or heard == set(others))
    subscription.close()


def test_a_listing_reads_the_current_primaries(store):
    """A call without keys is not sent to a node that was just given its first slots."""
    keys = {f"listed-{number}" for number in range(30)}
    for key in keys:
        store.set(key, b"v", 60)
    slots = store._connections().slots
    slots._serving = slots.primaries()[:1] * SLOTS
    time.sleep(PAUSE)
    assert set(store.scan("listed-")) == keys


def test_a_redirected_advisory_offer_replaces_no_newer_record(store, open_cluster, moving):
    """Its answer, MOVED, is read after another process has stored one."""
    key = new_key()
    started = offer(key, rank=Rank.UNREADY)
    newer = started._replace(value=b'{"status": "PROGRESS"}')
    store.get(key)
    source = store._connections().slots.node_of(key)
    moving.whole(slot_of(key))
    store.offer(started._replace(advisory=True), unready)
    other = open_cluster()
    other.offer(newer, unready)
    source.connections.call("PING")
    assert store.get(key).value == newer.value


@losing_sockets()
def test_an_exception_while_the_map_is_read_harms_no_other_thread(store):
    """As that of a soft time limit, which a signal's handler raises."""

    class Limit(BaseException):
        pass

    def strike(*_: object) -> None:
        raise Limit

    slots = store._connections().slots
    before = signal.signal(signal.SIGALRM, strike)
    try:
        struck = 0
        for number in range(100):
            slots._doubted, slots._updated = True, time.monotonic()
            until = time.monotonic() + 0.2
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0001 + number * 0.000001)
                while time.monotonic() < until:
                    slots._update()
            except Limit:
                struck += 1
            assert not slots._updating.locked()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert struck > 80


def test_a_redirection_while_the_map_is_read(store):
    """To a node that the map has not: it is met in the middle of the list of nodes."""
    slots = store._connections().slots
    node, ports = slots.primaries()[0], itertools.count(1)

    class Met(tuple[str, int]):
        __slots__ = ()

        def __hash__(self) -> int:
            slots._nodes["127.0.0.1", next(ports)] = node
            return super().__hash__()

    address = ("127.0.0.1", 0)
    slots._nodes[Met(address)] = node
    slots.doubt()
    time.sleep(PAUSE)
    slots.update()
    assert address not in slots._nodes


def test_keys_with_braces_are_stored(store):
    for key in ("", "a{b", "a}b", "a{}b", "{a}{b}", "a{b}c", "{}", "a}{b"):
        assert store.offer(offer(key, LARGE), unready)
        assert store.get(key)
        store.delete(key)


def test_the_client_is_redis_pys_cluster_client(store):
    assert isinstance(store.client, redis.RedisCluster)
    key = new_key()
    store.set(key, b"v", 60)
    assert store.client.get(key) == b"v"


def test_a_database_other_than_0_is_refused(open_cluster):
    with pytest.raises(ConfigurationError, match="database"):
        open_cluster("redis+cluster://h/1")
    with pytest.raises(ConfigurationError, match=r"rediss\+cluster"):
        open_cluster("redis+cluster://h?ssl_ca_certs=f")


def test_the_permissions_of_the_readme_are_enough(cluster, open_cluster, moving):
    """On a cluster there are a few more; the keys and channels begin like Celery's."""
    for node in cluster.nodes:
        node.run(f"ACL SETUSER few on >pw {KEYS} -@all {ALLOWED} {MORE_ON_A_CLUSTER}")
    store = open_cluster(cluster.url.replace("//", "//few:pw@"))
    keys = [new_key() for _ in range(30)]
    subscription = store.subscribe()
    subscription.watch(keys)
    for key in keys:
        store.offer(offer(key, LARGE if key is keys[0] else 0), unready)
    assert subscription.wait(5)
    moving.whole(slot_of(keys[0]))
    assert len(store.get_batch(keys)) == 30
    barrier = f"chord-unlock-{uuid.uuid4()}"
    part = Part(0, "m", "d")
    store.barrier(barrier, 60).open(b"about")
    store.barrier(barrier, 60).expect(part._replace(place=-1, member="size"), 1)
    assert (
        store.barrier(barrier, 60).finish(part, offer(new_key()), unready).outcome
        is Outcome.CLAIMED
    )
    store.barrier(barrier, 60).close(part, None, unready)
    tag = uuid.uuid4()
    here = f"celery-{{{tag}}}"
    ends = moving.begin(slot_of(here))
    assert store.offer(offer(here), unready)  # ASKING
    moving.keys(slot_of(here), *ends)
    moving.end(slot_of(here), *ends)
    subscription.unwatch(keys)
    subscription.close()
    store.delete_batch(keys)


def test_operations_wait_for_a_slot_without_a_node(cluster, store, moving):
    """CLUSTERDOWN from the nodes, then a gap in the map: both pass when somebody mends it."""
    key = new_key()
    slot = slot_of(key)
    owner = moving.owner(slot)

    def nobodys() -> bool:
        """The owner is told first: until it is, it tells the others again that the slot is its."""
        for node in sorted(cluster.nodes, key=lambda node: node.port != moving.ports[owner]):
            node.run(f"CLUSTER DELSLOTS {slot}")
        return not any(line.has(slot) for node in cluster.nodes for line in cluster._lines(node))

    assert eventually(nobodys, 20)
    try:
        for _ in range(20):
            with pytest.raises(Unavailable):
                store.get(key)
            time.sleep(0.05)
        with pytest.raises(Unavailable, match=f"slot {slot}"):
            store.set(key, b"v", 60)
    finally:
        moving.clients[owner].execute_command("CLUSTER", "ADDSLOTS", slot)
    retrying = open_store(cluster.url)
    retrying.set(key, b"v", 60)
    assert retrying.get(key)
    retrying.close()
    cluster.settle()


def test_one_living_seed_is_enough(cluster, open_cluster):
    store = open_cluster(f"redis+cluster://127.0.0.1:1,127.0.0.1:{cluster.nodes[4].port}")
    store.set(key := new_key(), b"v", 60)
    assert store.get(key)
    with pytest.raises(Unavailable, match="no node"):
        open_cluster("redis+cluster://127.0.0.1:1").get("key")


def test_a_replica_knows_the_cluster_where_all_others_are_gone(cluster, open_cluster):
    seed = cluster.nodes[0].port
    store = open_cluster(f"redis+cluster://127.0.0.1:{seed}?socket_timeout=0.4")
    store.ping()
    for node in cluster.nodes[:3]:
        node.pause()
    try:
        slots = store._connections().slots
        slots.doubt()
        teller, ranges = slots._asked()
        assert teller.address[1] in {node.port for node in cluster.nodes[3:]}
        assert ranges
    finally:
        for node in cluster.nodes[:3]:
            node.resume()
    cluster.settle()


def test_a_forked_child_has_its_own_connections(store):
    keys = [new_key() for _ in range(20)]
    for key in keys:
        store.set(key, b"v", 60)
    child = os.fork()
    if child == 0:
        os._exit(0 if len(store.get_batch(keys)) == 20 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(store.get_batch(keys)) == 20


def test_the_map_is_read_once_for_all_threads(cluster, open_cluster, monkeypatch):
    """A node that is gone costs each call an error, and the cluster a few questions."""
    store = open_cluster()
    keys = [new_key() for _ in range(30)]
    store.get_batch(keys)
    asked = []
    call = Connections.call

    def counting(connections: Connections, *command: object) -> object:
        if command == ("CLUSTER", "SLOTS"):
            asked.append(connections)
        return call(connections, *command)

    monkeypatch.setattr(Connections, "call", counting)
    began = time.monotonic()
    stop = began + 1

    def use() -> None:
        while time.monotonic() < stop:
            store._connections().slots.doubt()
            for key in keys:
                store.get(key)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert 2 <= len(asked) <= 1 + (time.monotonic() - began) / PAUSE


class Writers:
    """Threads that store results until they are stopped, and remember what was confirmed."""

    def __init__(self, url: str) -> None:
        self.store = open_store(url)
        self.stored: list[str] = []
        self.failed: list[BaseException] = []
        self.longest = 0.0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write) for _ in range(4)]
        for each in self._threads:
            each.start()

    def _write(self) -> None:
        try:
            while not self._stop.is_set():
                key, began = new_key(), time.monotonic()
                self.store.offer(offer(key), unready)
                self.stored.append(key)
                self.longest = max(self.longest, time.monotonic() - began)
        except BaseException as error:
            self.failed.append(error)

    def stop(self) -> set[str]:
        """The confirmed keys that are missing."""
        self._stop.set()
        for each in self._threads:
            each.join()
        assert not self.failed
        lost = set()
        for start in range(0, len(self.stored), 1000):
            some = self.stored[start : start + 1000]
            lost |= set(some) - set(self.store.get_batch(some))
        return lost


@pytest.fixture
def mortal() -> Iterator[RedisCluster]:
    """One whose nodes die."""
    with redis_cluster("--appendonly", "no") as cluster:
        yield cluster


def test_a_primary_is_killed_under_load(mortal):
    """With `wait_replicas` nothing that was confirmed is lost, and everybody goes on."""
    app = Celery("app", broker="memory://", backend=f"kv+{mortal.url}")
    task_id = str(uuid.uuid4())
    writers = Writers(f"{mortal.url}?wait_replicas=1&socket_timeout=3&retry_longest_ms=200")
    results: list[object] = []
    waiter = threading.Thread(
        target=lambda: results.append(app.AsyncResult(task_id).get(timeout=40))
    )
    waiter.start()
    time.sleep(1)
    victim: ClusterNode = mortal.primary_of(f"celery-task-meta-{task_id}")
    before = len(writers.stored)
    victim.kill()
    time.sleep(6)
    app.backend.store_result(task_id, 42, "SUCCESS")
    waiter.join()
    assert results == [42]
    victim.restart()  # until now its shard had no replica that could confirm
    until = time.monotonic() + 25
    while len(writers.stored) < before + 200 and time.monotonic() < until:
        time.sleep(0.1)
    assert writers.stop() == set()
    assert len(writers.stored) > before + 100
    writers.store.close()
    app.backend.store.close()
    app.backend.store.close()


def test_redis_6_needs_one_listener():
    """Without sharded channels every node forwards every message."""
    with redis_cluster(version="6.2") as cluster:
        parsed = StoreURL.parse(cluster.url)
        store = ClusterStore.from_url(parsed, fill(ClusterStore.options_type, {}, {}))
        keys = [new_key() for _ in range(20)]
        subscription = store.subscribe()
        subscription.watch(keys)
        assert len(subscription._listeners.opened()) == 1
        for key in keys:
            store.offer(offer(key), unready)
        heard: set[str] = set()
        until = time.monotonic() + 5
        while heard != set(keys) and time.monotonic() < until:
            heard |= set(subscription.wait(1))
        assert heard == set(keys)
        subscription.close()
        store.close()
