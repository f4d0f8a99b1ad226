"""Properties of Cassandra alone: requests, uncertain outcomes, buckets, tables, errors."""

import contextlib
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from uuid import uuid4

import pytest
from cassandra import InvalidRequest, OperationTimedOut, WriteTimeout, WriteType
from cassandra.protocol import ErrorMessage
from kvbackends_cassandra import barriers, rows, versions
from kvbackends_cassandra.client import Client
from kvbackends_cassandra.errors import UNKNOWN_CAS, CassandraUnavailable
from kvbackends_cassandra.rows import Rows

from kvbackends import ConfigurationError, StoreUnavailable, open_store
from kvbackends.contract import SIZE_PLACE, Offer, Outcome, Rank
from kvbackends.testing.tools import part
from tests.support.stalls import takes_less

NO_RETRY = {"result_backend_transport_options": {"retry": False}}
UNCERTAIN = [ErrorMessage(UNKNOWN_CAS, "cas", {}), WriteTimeout("cas", write_type=WriteType.CAS)]


def rank_of(value):
    return Rank(int(value[:1]))


def offer(key, rank=Rank.SUCCEEDED, text=b""):
    return Offer(key, b"%d%s" % (rank, text), rank, 60)


def publisher():
    return part(SIZE_PLACE, "size")


@pytest.fixture(scope="module")
def opened(cassandra_url):
    store = open_store(cassandra_url, NO_RETRY)
    yield store
    store.close()


@pytest.fixture
def store(opened):
    """The adapter without the retry layer."""
    return opened.inner


@pytest.fixture
def client(store):
    return store._client()


@pytest.fixture
def key():
    return uuid4().hex


@pytest.fixture
def requests(client):
    """A function that returns how many requests the driver sends during a call."""
    sent = []
    listener = sent.append
    client._session.add_request_init_listener(listener)

    def count(call, *args):
        del sent[:]
        call(*args)
        return len(sent)

    yield count
    client._session.remove_request_init_listener(listener)


class TestRequests:
    """How many requests each operation takes."""

    def test_a_result_is_one_request(self, store, requests, key):
        assert requests(store.offer, offer(key, Rank.UNREADY), rank_of) == 1
        assert requests(store.offer, offer(key), rank_of) == 1
        assert requests(store.offer, offer(key, Rank.FAILED), rank_of) == 1, "refused"
        assert requests(store.get, key) == 1
        assert requests(store.set, key, b"v") == requests(store.delete, key) == 1

    def test_a_request_is_sent_to_a_replica_of_its_only_partition(self, store, client, key):
        """The driver goes by the routing key; that of a part is its chord."""
        sent = []
        listener = sent.append
        client._session.add_request_init_listener(listener)
        barrier = store.barrier(f"{key}-b", 60)
        for name, call, *arguments in (
            (key, store.compare_and_set, key, b"1", None, 60),
            (key, store.get, key),
            (key, store.set, key, b"2", 60),
            (key, store.touch, key, 60.0),
            (key, store.delete, key),
            (key, store.offer, offer(key), rank_of),
            (barrier.name, barrier.open, b"payload"),
            (barrier.name, barrier.expect, publisher(), 3),
            (barrier.name, barrier.arrive, part(0), b"value"),
        ):
            del sent[:]
            call(*arguments)
            assert {each.query.routing_key for each in sent} == {name.encode()}, call
        client._session.remove_request_init_listener(listener)

    def test_a_batch_is_one_request_for_fifty_keys(self, store, requests, key):
        keys = [f"{key}-{i}" for i in range(store.limits.batch_keys)]
        store.set(keys[-1], b"v")
        assert requests(store.get_batch, keys[:20]) == 1
        assert requests(store.get_batch, keys) == 1 + 20
        assert store.get_batch(keys) == {keys[-1]: b"v"}

    def test_a_batch_of_large_values_is_one_request_for_each(self, store, requests, key):
        """A server builds its answer in memory, so large values are requested one by one."""
        keys = [f"{key}-{i}" for i in range(25)]
        for each in keys:
            store.set(each, b"x" * 600_000, 60)
        assert requests(store.get_batch, keys) == 1 + 5
        store.delete_batch(keys)

    def test_a_part_with_its_result_is_three_requests(self, store, requests, key):
        assert requests(store.barrier(key, 60).open, b"payload") == 1
        assert requests(store.barrier(key, 60).expect, publisher(), 4) == 2
        result = offer(f"{key}-r")
        for place in range(3):
            assert requests(store.barrier(key, 60).finish, part(place), result, rank_of) == 3
        last = part(3)
        assert requests(store.barrier(key, 60).finish, last, result, rank_of) == 5, (
            "list, read, claim"
        )
        assert requests(lambda: list(store.barrier(key).parts())) == 2
        assert requests(store.barrier(key).renew, last) == 1
        assert requests(store.barrier(key, 60).close, last, result, rank_of) == 4

    def test_the_first_part_in_a_process_takes_one_request_more(
        self, store, requests, key, cassandra_url
    ):
        """Unless the process opened the barrier, it has to read the run once."""
        opener = open_store(cassandra_url, NO_RETRY)
        opener.barrier(key, 60).open(b"")
        opener.barrier(key, 60).expect(publisher(), 4)
        opener.close()
        costs = [requests(store.barrier(key, 60).arrive, part(place), b"v") for place in range(3)]
        assert costs == [3, 2, 2]

    def test_a_late_part_is_one_request(self, store, requests, key):
        """A process that knows or reads the tombstone writes nothing."""
        store.barrier(key, 60).open(b"")
        store.barrier(key, 60).expect(publisher(), 1)
        store.barrier(key, 60).arrive(last := part(0), b"v")
        store.barrier(key, 60).close(last, None, rank_of)
        assert requests(store.barrier(key, 60).arrive, part(0), b"v") == 1

    def test_the_cost_of_a_part_does_not_grow(self, store, requests, key, monkeypatch):
        """Sealing and counting buckets add requests to few parts, whatever their number."""
        monkeypatch.setattr(barriers, "FULL", 10)
        store.barrier(key, 60).open(b"")
        store.barrier(key, 60).expect(publisher(), 1000)
        costs = [requests(store.barrier(key, 60).arrive, part(place), b"v") for place in range(100)]
        assert max(costs) <= 10
        assert sum(cost > 2 for cost in costs) <= 10


class TestUncertainOutcomes:
    """The server answers that the outcome of a transaction is unknown."""

    @pytest.fixture
    def uncertain(self, monkeypatch):
        """A function that makes the next transaction's outcome unknown.

        `done` says whether it is applied; `meanwhile` runs before the error is raised.
        """
        send = Client._send

        def arrange(error, *, done, meanwhile=lambda: None):
            def once(client, statement, values):
                monkeypatch.setattr(Client, "_send", send)
                if done:
                    send(client, statement, values)
                meanwhile()
                raise error

            monkeypatch.setattr(Client, "_send", once)

        return arrange

    @pytest.mark.parametrize("error", UNCERTAIN, ids=["v5", "v4"])
    @pytest.mark.parametrize("done", [True, False])
    def test_the_transaction_is_sent_again(self, store, uncertain, key, error, done):
        """Every write reports success, whether or not its first attempt was applied."""
        uncertain(error, done=done)
        assert store.compare_and_set(key, b"1", None, 60)
        read = store.get(key).version
        uncertain(error, done=done)
        assert store.compare_and_set(key, b"2", read, 60)
        uncertain(error, done=done)
        store.set(f"{key}-set", b"3")
        uncertain(error, done=done)
        assert store.offer(offer(f"{key}-offer"), rank_of)
        assert [store.get(each).value for each in (key, f"{key}-set", f"{key}-offer")] == [
            b"2",
            b"3",
            b"3",
        ]

    def test_an_applied_write_is_recognised_after_later_ones(self, store, uncertain, key):
        """An applied write is recognised after later ones; a write that was not applied fails."""
        store.set(key, b"1")
        read = store.get(key).version

        def others():
            for number in range(20):
                assert store.compare_and_set(key, b"%d" % number, store.get(key).version)

        uncertain(UNCERTAIN[0], done=True, meanwhile=others)
        assert store.compare_and_set(key, b"mine", read)
        read = store.get(key).version
        uncertain(UNCERTAIN[0], done=False, meanwhile=others)
        assert not store.compare_and_set(key, b"mine", read)

    def test_an_outcome_that_stays_unknown_raises(self, store, monkeypatch, key):
        """The caller gets the transient error in bounded time."""

        def never(*_):
            raise UNCERTAIN[0]

        monkeypatch.setattr(Client, "_send", never)
        monkeypatch.setattr(time, "monotonic", lambda clock=time.monotonic: 10 * clock())
        with pytest.raises(CassandraUnavailable):
            store.set(key, b"v")

    def test_concurrent_increments_all_count(self, opened, key):
        """With many writers of one number, no increment is lost or counted twice."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: opened.increment(key, 1, 60), range(80)))
        assert opened.get(key).value == b"80"

    def test_a_version_names_its_predecessors(self):
        version = first = versions.first()
        for _ in range(versions.PREDECESSORS):
            version = versions.after(version)
            assert versions.includes(version, first)
        assert len(version) <= versions.OWN_BYTES + versions.PREDECESSORS * versions.BEGINNING
        assert not versions.includes(version, versions.first())
        assert not versions.includes(None, first)


class Crash(BaseException):
    """Simulates the death of a process, whose message is then redelivered."""


class TestBuckets:
    """No part is missed while buckets are sealed and counted."""

    @pytest.mark.parametrize("risk", [0, 0.05])
    def test_one_delivery_claims_all_parts(self, store, key, monkeypatch, risk):
        """Exactly one delivery claims, and finds all parts, wherever processes die."""
        monkeypatch.setattr(barriers, "FULL", 3)
        chance = random.Random(5)
        for turn in range(4):
            barrier = f"{key}-{turn}"
            store.barrier(barrier, 60).open(b"payload")
            store.barrier(barrier, 60).expect(publisher(), 25)
            with monkeypatch.context() as patched, ThreadPoolExecutor(6) as pool:
                for name in ("put", "tally", "seal", "count_sealed", "counted", "swap_all", "kept"):
                    patched.setattr(Rows, name, self._dying(getattr(Rows, name), chance, risk))
                outcomes = list(pool.map(lambda n, b=barrier: self._bring(store, b, n), range(25)))
            claims = outcomes.count(Outcome.CLAIMED)
            assert claims == 1 or (risk and claims), "a redelivery claims again"
            assert len(list(store.barrier(barrier).parts())) == 25

    @staticmethod
    def _dying(method, chance, risk):
        def dying(*args):
            if chance.random() < risk / 2:
                raise Crash
            answer = method(*args)
            if chance.random() < risk / 2:
                raise Crash
            return answer

        return dying

    @staticmethod
    def _bring(store, barrier, place):
        while True:
            with contextlib.suppress(Crash):
                return store.barrier(barrier, 60).arrive(part(place), b"v").outcome


class TestTables:
    def test_celerys_own_table_is_not_used(self, cassandra_url, client):
        """Celery's table may have the name in `cassandra_table`, in the same keyspace."""
        celerys = "CREATE TABLE IF NOT EXISTS {keyspace}.tasks (task_id text PRIMARY KEY, n int)"
        client.rows(celerys)
        store = open_store(cassandra_url, {"cassandra_table": "tasks"})
        store.set("key", b"v", 60)
        assert store.get("key").value == b"v"
        store.close()

    def test_missing_tables_are_not_created_with_create_0(self, cassandra_url):
        store = open_store(f"{cassandra_url}?create=0&table=missing")
        with pytest.raises(ConfigurationError, match="CREATE TABLE IF NOT EXISTS"):
            store.get("key")
        store.close()

    def test_entry_ttl_overrides_the_ttl(self, cassandra_url, client, key):
        """The setting `cassandra_entry_ttl` decides how long a result lives."""
        store = open_store(cassandra_url, {"cassandra_entry_ttl": 1000.0})
        store.offer(offer(key), rank_of)
        ((left,),) = client.rows("SELECT TTL(value) FROM {entries} WHERE key = ?", (key,))
        assert 990 < left <= 1001
        store.close()

    def test_a_closed_barrier_leaves_only_a_tombstone(self, store, client, key):
        store.barrier(key, 60).open(b"")
        store.barrier(key, 60).expect(publisher(), 1)
        last = part(0)
        assert store.barrier(key, 60).arrive(last, b"v").outcome is Outcome.CLAIMED
        store.barrier(key, 60).close(last, None, rank_of)
        assert store.barrier(key, 60).arrive(part(0), b"late").outcome is Outcome.CLOSED
        rows = client.rows("SELECT member, value FROM {barriers} WHERE barrier = ?", (key,))
        assert rows == [(None, None)]


class TestClientsClocks:
    """Parts are plain writes, ordered by the clocks of the workers."""

    @pytest.fixture
    def ahead(self, client, monkeypatch):
        """A list whose only element is the seconds that this process's clock is ahead."""
        shift = [0]

        def nanoseconds():
            return time.time_ns() + shift[0] * 10**9

        monkeypatch.setattr(rows, "time", SimpleNamespace(time_ns=nanoseconds))
        monkeypatch.setattr(client._cluster, "timestamp_generator", lambda: nanoseconds() // 1000)
        return shift

    @pytest.mark.parametrize("shifts", [(5, 0, -5), (-5, 0, 5)], ids=["ahead", "behind"])
    def test_a_chord_completes_and_leaves_nothing(self, store, client, key, ahead, shifts):
        """Whoever closes it removes the parts of a worker that is ahead, too."""
        parts = [part(place) for place in range(len(shifts))]
        ahead[0] = shifts[0]
        store.barrier(key, 60).open(b"")
        store.barrier(key, 60).expect(publisher(), len(parts))
        outcomes = []
        for each, ahead[0] in zip(parts, shifts, strict=True):
            outcomes.append(store.barrier(key, 60).arrive(each, b"v").outcome)
        assert outcomes == [Outcome.WAITING, Outcome.WAITING, Outcome.CLAIMED]
        assert sorted(place for place, *_ in store.barrier(key, 60).parts()) == [0, 1, 2]
        store.barrier(key, 60).close(parts[-1], None, rank_of)
        assert client.rows("SELECT member FROM {barriers} WHERE barrier = ?", (key,)) == [(None,)]

    def test_of_two_values_that_of_the_earlier_clock_counts(self, store, key, ahead):
        """Until the claim; what it chose stays."""
        store.barrier(key, 60).open(b"")
        store.barrier(key, 60).expect(publisher(), 2)
        for ahead[0], value in ((5, b"first"), (0, b"second")):
            store.barrier(key, 60).arrive(part(0), value)
        assert store.barrier(key, 60).arrive(part(1), b"last").outcome is Outcome.CLAIMED
        ahead[0] = -5
        store.barrier(key, 60).arrive(part(0), b"third")
        found = {place: value for place, _, value in store.barrier(key, 60).parts()}
        assert found == {0: b"second", 1: b"last"}


class TestErrors:
    def test_a_refused_connection_fails_within_the_retry_timeout(self, unused_port):
        store = open_store(f"cassandra://127.0.0.1:{unused_port}/k?retry_timeout=0.5")
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.get("key")
        assert time.monotonic() - began < 15  # the default is 30

    def test_a_silent_server_costs_one_connect_timeout(self):
        """Threads that connect at the same time wait for one attempt, not for one each."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"cassandra://127.0.0.1:{silent.getsockname()[1]}/k?connect_timeout=1"
            store = open_store(url, NO_RETRY)

            def get():
                with ThreadPoolExecutor(4) as pool:
                    waiting = [pool.submit(store.get, "key") for _ in range(4)]
                    for each in waiting:
                        with pytest.raises(CassandraUnavailable):
                            each.result()

            assert takes_less(3, get)

    @pytest.fixture
    def unused_port(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            return free.getsockname()[1]

    def test_timeouts_are_transient(self, store, client, monkeypatch, key):
        def late(*_args, **_more):
            raise OperationTimedOut

        monkeypatch.setattr(client._session, "execute", late)
        with pytest.raises(store.transient_errors):
            store.get(key)
        with pytest.raises(store.transient_errors):
            store.set(key, b"v")

    def test_a_refused_statement_is_not_transient(self, store, client):
        with pytest.raises(InvalidRequest) as error:
            client.rows("SELECT value FROM {entries} WHERE key = ?", ("k" * 70_000,))
        assert not isinstance(error.value, store.transient_errors)
