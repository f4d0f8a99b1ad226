"""Properties of MongoDB alone: its documents, round trips, errors and clock."""

import contextlib
import datetime as dt
import pickle
import socket
import threading
import time
import traceback
from uuid import uuid4

import pymongo
import pytest
from bson import Binary
from dns import resolver
from kvbackends_mongodb.client import Refused, Unavailable
from pymongo.monitoring import CommandListener

from kvbackends import ConfigurationError, StoreUnavailable, open_store
from kvbackends.contract import SIZE_PLACE, Feature, Offer, Outcome, Part, Rank
from kvbackends.errors import UnknownHost
from kvbackends.testing.tools import part
from tests.servers.mongodb import mongodb_server

NO_RETRY = {"result_backend_transport_options": {"retry": False}}


def rank_of(value):
    return Rank(int(value[:1]))


def offer(key, rank=Rank.SUCCEEDED, size=10, **facets):
    return Offer(key, b"%d" % rank + b"x" * size, rank, 60, facets)


class Commands(CommandListener):
    """Records the names of the commands that the driver sends; each one is a round trip."""

    def __init__(self):
        self.names = []

    def started(self, event):
        if event.command_name not in ("hello", "endSessions", "createIndexes"):
            self.names.append(event.command_name)

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass

    def of(self, call, *args):
        """The names of the commands that `call` sends."""
        del self.names[:]
        call(*args)
        return list(self.names)


@pytest.fixture
def commands():
    return Commands()


@pytest.fixture
def open_one():
    """A function that opens a store; the stores are closed after the test."""
    with contextlib.ExitStack() as stack:

        def opened(url, settings=None, **driver):
            celerys = {"mongodb_backend_settings": {"options": driver}, **(settings or {})}
            store = open_store(url, celerys)
            stack.callback(store.close)
            return store

        yield opened


@pytest.fixture
def store(mongodb_url, open_one, commands):
    return open_one(mongodb_url, event_listeners=[commands])


@pytest.fixture
def database(mongodb_url):
    with pymongo.MongoClient(mongodb_url) as client:
        yield client.get_default_database()


@pytest.fixture(scope="module")
def failing_server():
    """A server on which commands can be made to fail."""
    with mongodb_server("--setParameter", "enableTestCommands=1") as server:
        yield server


@pytest.fixture
def fail(failing_server):
    """A function that makes commands fail so many times, in the way of a MongoDB fail point."""
    with pymongo.MongoClient(failing_server.url) as client:

        def configure(times, **how):
            mode = {"times": times} if times else "off"
            client.admin.command("configureFailPoint", "failCommand", mode=mode, data=how)

        yield configure
        client.admin.command("configureFailPoint", "failCommand", mode="off")


@pytest.fixture
def key():
    return f"kvt-{uuid4().hex}"


class TestRoundTrips:
    """The commands that the driver sends for each operation."""

    def test_most_operations_are_one_request(self, store, commands, key):
        store.ping()
        for call, args in (
            (store.set, (key, b"v", 60)),
            (store.get, (key,)),
            (store.get_batch, ([f"{key}-{i}" for i in range(1000)],)),
            (store.compare_and_set, (key, b"w", None, 60)),
            (store.touch, (key, 60)),
            (store.increment, (f"{key}-n", 1, None)),
            (store.delete, (key,)),
            (store.delete_batch, ([f"{key}-{i}" for i in range(1000)],)),
        ):
            assert len(commands.of(call, *args)) == 1, call

    def test_a_stored_offer_is_one_request_and_a_refused_one_two(self, store, commands, key):
        store.ping()
        started, succeeded = offer(key, Rank.UNREADY), offer(key)
        assert commands.of(store.offer, started, rank_of) == ["update"]
        assert commands.of(store.offer, succeeded, rank_of) == ["update"]
        assert commands.of(store.offer, started, rank_of) == ["update", "find"]

    def test_a_part_with_its_result_is_two_requests(self, store, commands, key):
        """The first part and the hundredth cost the same."""
        store.ping()
        publisher = Part(SIZE_PLACE, "size", "d")
        assert commands.of(store.barrier(key, 60).open, b"about") == ["update"]
        assert commands.of(store.barrier(key, 60).expect, publisher, 101) == ["findAndModify"]
        for place in range(100):
            result = offer(f"{key}-{place}")
            sent = commands.of(store.barrier(key, 60).finish, part(place), result, rank_of)
            assert sent == ["update", "update"]
        last = part(100)
        sent = commands.of(store.barrier(key, 60).finish, last, offer(f"{key}-100"), rank_of)
        assert sent == ["update", "find", "find", "update"]  # arrive, read, list, claim
        assert commands.of(lambda: list(store.barrier(key).parts())) == ["find", "find"]
        assert commands.of(store.barrier(key).renew, last) == ["update"]
        sent = commands.of(store.barrier(key, 60).close, last, offer(f"{key}-100"), rank_of)
        assert sent == ["findAndModify", "update", "delete"]

    def test_a_reopened_barrier_costs_one_read_more(self, store, commands, key):
        """A process's first part reads the run; later ones cost as much as in the first run."""
        for _ in range(2):
            store.barrier(key, 60).open(b"about")
        store.barrier(key, 60).expect(Part(SIZE_PLACE, "size", "d"), 4)
        assert store.barrier(key, 60).arrive(part(0), b"v").outcome is Outcome.WAITING
        assert commands.of(store.barrier(key, 60).arrive, part(1), b"v") == ["update"]


class TestDocuments:
    """The documents as other programs see them in the database."""

    def test_a_document_has_these_fields(self, store, database, key):
        """A result's bytes, rank and facets are fields of one document."""
        store.offer(offer(key, state="SUCCESS", worker="w@h"), rank_of)
        found = database["celery_taskmeta_kv"].find_one({"_id": key})
        assert sorted(found) == ["_id", "expires", "facets", "rank", "value", "version"]
        assert (found["value"], found["rank"]) == ("3xxxxxxxxxx", 3)
        assert found["facets"] == {"state": "SUCCESS", "worker": "w@h"}

    @pytest.mark.parametrize(
        ("value", "kept"),
        [
            ('{"status": "SUCCESS", "result": "ä\x00$now"}'.encode(), str),
            (b"", str),
            (pickle.dumps({"status": "SUCCESS"}), bytes),
            ("ä".encode("latin-1"), bytes),
            (b"\xed\xa0\x80", bytes),  # half of a surrogate pair: no UTF-8
        ],
    )
    def test_text_is_stored_readable(self, store, database, key, value, kept):
        """As by Celery's own backend; the same bytes come back, and decide races as before."""
        store.set(key, value)
        assert isinstance(database["celery_taskmeta_kv"].find_one({"_id": key})["value"], kept)
        entry = store.get(key)
        assert entry.value == value == store.get_batch([key])[key]
        assert store.compare_and_set(key, value, entry.version)
        assert not store.compare_and_set(key, value, entry.version)

    def test_an_offer_recognises_itself_as_text_and_as_binary(self, store, database, key):
        """The latter as an earlier version of this adapter stored it."""
        success = offer(key)
        assert store.offer(success, rank_of)
        assert store.offer(success, rank_of)
        binary = {"$set": {"value": Binary(success.value)}}
        database["celery_taskmeta_kv"].update_one({"_id": key}, binary)
        assert store.get(key).value == success.value
        assert store.offer(success, rank_of)
        assert not store.offer(offer(key, size=9), rank_of)

    @pytest.mark.parametrize("fields", [{}, {"rank": True}, {"rank": "x"}, {"rank": 9.5}])
    def test_an_offer_over_a_document_of_another_program(self, store, database, key, fields):
        """It ends: the bytes tell the rank, whatever the fields for rank and version have."""
        later = {"expires": {"$add": ["$$NOW", 60_000]}, "value": "1"}
        other = {"$replaceWith": {"_id": key, **later, **fields}}
        database.celery_taskmeta_kv.update_one({"_id": key}, [other], upsert=True)
        assert store.offer(offer(key, Rank.SUCCEEDED), rank_of)
        assert store.get(key).value.startswith(b"3")

    def test_a_text_that_is_no_number_is_not_counted(self, store, key):
        store.set(key, b"one")
        with pytest.raises(ValueError, match="one"):
            store.increment(key, 1, None)

    def test_dollar_signs_are_text(self, store, key):
        """A text that a pipeline would read as a field is allowed in keys, facets and members."""
        name = f"$value{key}"
        store.offer(offer(name, task="$rank"), rank_of)
        assert list(store.find({"task": "$rank"})) == [name]
        store.barrier(name, 60).open(b"")
        store.barrier(name, 60).expect_more(part(0, "$run"), 0, "$$ROOT")
        store.barrier(name, 60).arrive(part(0, "$run"), b"v")
        store.barrier(name, 60).arrive(part(0, "$$ROOT"), b"v")
        answer = store.barrier(name, 60).expect(Part(SIZE_PLACE, "$size", "$d"), 1)
        assert (answer.outcome, answer.parts) == (Outcome.CLAIMED, 2)
        assert store.barrier(name).renew(Part(SIZE_PLACE, "$size", "$d"))
        store.delete(name)

    def test_the_server_removes_expired_documents(self, store, database, key):
        store.set(key, b"v", 0.01)
        store.barrier(key, 0.01).arrive(part(0), b"v")
        until = time.monotonic() + 20
        entries, chords = database["celery_taskmeta_kv"], database["celery_taskmeta_kv_chords"]
        while entries.find_one({"_id": key}) or chords.find_one({"_id.b": key}):
            assert time.monotonic() < until
            time.sleep(0.1)

    def test_a_closed_barrier_leaves_only_a_tombstone(self, store, database, key):
        """No part and no payload stays, of this run or an earlier one, nor of a late part."""
        for _ in range(2):
            store.barrier(key, 60).open(b"about")
            store.barrier(key, 60).arrive(part(0), b"v")
        last = Part(SIZE_PLACE, "size", "d")
        assert store.barrier(key, 60).expect(last, 1).outcome is Outcome.CLAIMED
        store.barrier(key, 60).close(last, None, rank_of)
        store.barrier(key, 60).arrive(part(0), b"late")
        left = list(database["celery_taskmeta_kv_chords"].find({"_id.b": key, "_id.a": None}))
        assert [each["_id"] for each in left] == [{"b": key}]

    def test_increment_counts_bytes_and_long_numbers(self, store, database, key):
        """A number may be stored as bytes by another program, or have more than 64 bits."""
        database["celery_taskmeta_kv"].insert_one(
            {
                "_id": key,
                "value": Binary(b"7"),
                "version": "theirs",
                "expires": dt.datetime(2100, 1, 1, tzinfo=dt.UTC),
            }
        )
        assert store.increment(key, 1, None) == 8
        assert store.increment(key, 10**30, None) == 10**30 + 8
        assert store.increment(key, -(10**30), 60) == 8

    def test_the_largest_value_fits_with_the_longest_key(self, store):
        """Also as a part of the barrier with the longest name."""
        longest, largest = (
            "k" * store.limits.key_bytes,
            b"3" + b"x" * (store.limits.value_bytes - 1),
        )
        assert store.offer(Offer(longest, largest, Rank.SUCCEEDED, 60), rank_of)
        barrier = store.barrier(longest, 60)
        barrier.open(b"")
        assert barrier.arrive(part(0), largest).outcome is Outcome.WAITING
        store.delete(longest)

    def test_simultaneous_stores_create_each_index_once(self, mongodb_url, open_one, database):
        name = f"t{uuid4().hex[:8]}"
        stores = [open_one(f"{mongodb_url}&collection={name}") for _ in range(6)]
        threads = [threading.Thread(target=each.set, args=("k", b"v")) for each in stores]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(database[name].index_information()) == 3
        assert stores[0].get("k").value == b"v"


class TestErrors:
    """Which errors are transient, and how long they take."""

    def test_a_silent_server_fails_within_the_timeout(self, open_one):
        """The timeout is 5 s, or what the URL says."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            for query, least, most in (("", 4, 15), ("?serverSelectionTimeoutMS=300", 0, 4)):
                store = open_one(f"mongodb://127.0.0.1:{port}/{query}", NO_RETRY)
                began = time.monotonic()
                with pytest.raises(Unavailable):
                    store.get("k")
                assert least < time.monotonic() - began < most

    def test_a_refused_connection_raises_with_the_drivers_error(self, open_one):
        """The retry layer gives up after `retry_timeout`; the cause is the transient error."""
        url = "mongodb://127.0.0.1:1/?retry_timeout=0.5&serverSelectionTimeoutMS=200"
        with pytest.raises(StoreUnavailable) as info:
            open_one(url).set("k", b"v")
        assert isinstance(info.value.__cause__, Unavailable)

    @pytest.mark.parametrize(
        ("error", "raised"),
        [(resolver.LifetimeTimeout, Unavailable), (resolver.NXDOMAIN, ConfigurationError)],
    )
    def test_a_silent_dns_is_transient(self, monkeypatch, open_one, error, raised):
        """An answer that there is no such name is not."""

        def resolve(*_, **__):
            raise error

        monkeypatch.setattr(resolver, "resolve", resolve)
        with pytest.raises(raised):
            open_one("mongodb+srv://cluster.example.com/db", NO_RETRY).get("k")

    def test_a_host_that_does_not_exist_is_told(self):
        """The driver looks it up again until its own timeout is over."""
        url = "mongodb://no-such-host.invalid/db?serverSelectionTimeoutMS=1100"
        with (
            contextlib.closing(open_store(url)) as store,
            pytest.raises(UnknownHost, match="does not exist"),
        ):
            store.get("k")

    def test_making_a_barrier_does_not_connect(self, open_one):
        """The first operation connects, so its errors are translated and retried like others."""
        store = open_one("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200", NO_RETRY)
        barrier = store.barrier("b", 60)
        with pytest.raises(Unavailable):
            barrier.open(b"payload")

    def test_a_write_without_an_answer_is_transient(self, failing_server, fail, open_one, key):
        """A write fails after `socketTimeoutMS`, before the server answers."""
        store = open_one(failing_server.url, NO_RETRY, socketTimeoutMS=1500, retryWrites=False)
        store.ping()
        fail(1, failCommands=["update"], blockConnection=True, blockTimeMS=5000)
        began = time.monotonic()
        with pytest.raises(Unavailable):
            store.set(key, b"v")
        assert time.monotonic() - began < 5

    @pytest.mark.parametrize("how", [{"closeConnection": True}, {"errorCode": 10107}])
    def test_a_retried_increment_counts_once(self, failing_server, fail, open_one, key, how):
        """The driver's retryable writes send an increment again without counting it twice."""
        store = open_one(failing_server.url, NO_RETRY)
        for i in range(3):
            fail(1, failCommands=["findAndModify"], **how)
            assert store.increment(key, 1, None) == i + 1

    def test_only_transient_codes_are_retried(self, failing_server, fail, open_one, key):
        """A change of the primary is retried; a missing permission is raised."""
        store = open_one(failing_server.url, retryWrites=False)
        fail(2, failCommands=["update"], errorCode=11602)
        store.set(key, b"v")
        assert store.get(key).value == b"v"
        fail(1, failCommands=["update"], errorCode=13)
        with pytest.raises(Refused, match=r"code 13.*grant") as info:
            store.set(key, b"w")
        assert "clusterTime" not in "".join(traceback.format_exception(info.value))

    def test_an_interrupted_listing_is_transient(self, failing_server, fail, open_one, key):
        """An error in the middle of `scan` is translated, too."""
        store = open_one(failing_server.url, retryReads=False)
        for i in range(150):
            store.set(f"{key}-{i}", b"v")
        keys = store.scan(key)
        next(keys)
        fail(1, failCommands=["getMore"], closeConnection=True)
        with pytest.raises(Unavailable):
            list(keys)

    def test_missing_permission_for_indexes_is_logged(
        self, failing_server, fail, open_one, key, caplog
    ):
        """A user who may not create indexes can still read and write."""
        store = open_one(failing_server.url)
        fail(1, failCommands=["createIndexes"], errorCode=13)
        store.set(key, b"v")
        assert "may not create the indexes" in caplog.text

    def test_a_user_in_admin_is_found(self, failing_server, open_one, key):
        """Celery's backend authenticates against ``admin``.  A wrong password is not shown."""
        url = failing_server.url
        with pymongo.MongoClient(url) as client:
            client.admin.command("createUser", "ann", pwd="s3cret-pw", roles=["root"])
        store = open_one(url.replace("://", "://ann:s3cret-pw@"))
        store.set(key, b"v")
        assert store.get(key).value == b"v"
        wrong = open_one(url.replace("://", "://ann:wr0ng-pw@"))
        with pytest.raises(Refused, match="authSource") as info:
            wrong.get(key)
        assert "wr0ng-pw" not in f"{info.value!r} {wrong!r}"

    def test_confirmed_results_survive_a_killed_server(self, failing_server, open_one, key):
        """While the server is frozen, requests fail and the store closes in time."""
        store = open_one(failing_server.url, socketTimeoutMS=300, serverSelectionTimeoutMS=300)
        store.set(key, b"v")
        failing_server.pause()
        hasty = open_one(failing_server.url, NO_RETRY, serverSelectionTimeoutMS=300)
        with pytest.raises(Unavailable):
            hasty.get(key)
        began = time.monotonic()
        store.close()
        assert time.monotonic() - began < 10
        failing_server.kill()
        failing_server.restart()
        assert store.get(key).value == b"v"


def test_durable_by_default(store):
    assert store.features & Feature.DURABLE


@pytest.mark.parametrize(
    "settings",
    [
        {"host": "HOST", "port": "PORT"},
        {"host": "HOST:PORT/", "replicaSet": "rs0"},
        {"host": ["HOST:PORT"], "options": {"replicaset": "rs0"}},
        {"host": "mongodb://HOST:PORT/?replicaSet=rs0"},
        {"mongo_host": ["HOST:PORT"], "user": "", "password": ""},
        {"mongo_host": "HOST:PORT", "user": None, "password": None, "options": None},
        {"host": "HOST", "port": "PORT", "connect": False, "max_pool_size": 3, "tz_aware": True},
        {"mongo_host": "HOST:PORT", "document_class": dict, "event_listeners": []},
        {"mongo_host": "HOST:PORT", "taskmeta_collection": "t", "groupmeta_collection": "g"},
    ],
)
def test_every_key_of_celerys_settings(mongodb_url, key, settings):
    """Hosts replace those of the URL, as in Celery."""
    host, _, port = mongodb_url.split("/")[2].partition(":")

    def filled(value):
        if isinstance(value, list):
            return [filled(each) for each in value]
        if value == "PORT":
            return int(port)
        return (
            value.replace("HOST", host).replace("PORT", port) if isinstance(value, str) else value
        )

    celerys = {name: filled(each) for name, each in settings.items()}
    celerys |= {"database": "kvbackends", "serverSelectionTimeoutMS": 5000}
    store = open_store("mongodb://elsewhere.invalid", {"mongodb_backend_settings": celerys})
    store.set(key, b"v", 60)
    assert store.get(key).value == b"v"
    store.close()
