"""Properties of Elasticsearch alone: its documents, index, round trips and barriers."""

import json
import threading
import time
from multiprocessing import get_context

import elasticsearch
import pytest
from celery import Celery
from celery.backends.elasticsearch import ElasticsearchBackend as Celerys
from kvbackends_elasticsearch.client import BatchSize

from kvbackends import ConfigurationError, open_store
from kvbackends.contract import SIZE_PLACE, Offer, Outcome, Part, Rank

WAITING, CLAIMED, HELD, CLOSED, UNKNOWN = Outcome
TTL = 60


def rank_of(value):
    return Rank(int(value[:1]))


def offer(key, rank=Rank.SUCCEEDED, **facets):
    return Offer(key, b"%d" % rank, rank, TTL, facets)


def part(place, delivery="d"):
    return Part(place, f"task-{place}", f"{delivery}-{place}")


def begin(store, barrier, size):
    store.barrier(barrier, TTL).open(b"about")
    return store.barrier(barrier, TTL).expect(Part(SIZE_PLACE, "size", "size"), size)


def sender(store):
    """The adapter's `Sender`, below all layers."""
    while hasattr(store, "inner"):
        store = store.inner
    return store._client()._sender


def document(store, key):
    """The fields of the stored document."""
    path = store_path(store)
    answer = sender(store).read("GET", f"{path}/_doc/{key}")
    return json.loads(answer.accepted())["_source"]


def store_path(store):
    while hasattr(store, "inner"):
        store = store.inner
    return store._client().index.path


def make_index(url, open_one, properties):
    """Create an index with these fields, as another program would; returns a store on it."""
    store = open_one(url)
    body = json.dumps({"mappings": {"properties": properties}}).encode()
    sender(store).send("PUT", store_path(store), body).accepted()
    return store


# -- documents ------------------------------------------------------------------------------------


def test_a_result_is_celerys_document_with_more_fields(store):
    store.offer(offer("key", state="SUCCESS")._replace(value=b'3{"\xc3\xa4": 1}'), rank_of)
    found = document(store, "key")
    assert found["result"] == '3{"ä": 1}'
    assert time.strptime(found["@timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ")
    assert found["facets"] == ["state=SUCCESS"]
    assert found["expires"] / 1000 == pytest.approx(time.time() + TTL, abs=10)


def test_bytes_that_are_not_text_are_stored_as_base64(store):
    store.set("key", b"\xff\x00")
    assert document(store, "key")["binary"] == "/wA="
    assert store.get("key").value == b"\xff\x00"


RECORD = b'{"status": "SUCCESS", "result": {"a": [1.5, null]}, "traceback": null, "children": []}'


def test_celerys_setting_stores_a_record_as_an_object(index_url, open_one):
    store = open_one(f"{index_url}?save_meta_as_text=0")
    for key, value in (("record", RECORD), ("other", b"[1, 2]"), ("odd", b'{"result":1 }')):
        store.set(key, value)
        assert store.get(key).value == value
    found = document(store, "record")["result"]
    assert (found["status"], found["result"]) == ("SUCCESS", '{"a": [1.5, null]}')
    assert open_one(index_url).get("record").value == RECORD


@pytest.mark.filterwarnings("ignore:The 'params' parameter:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The 'body' parameter:DeprecationWarning")
@pytest.mark.parametrize("as_text", [True, False])
def test_celerys_own_backend_and_this_one_read_each_other(index_url, open_one, as_text):
    """In both directions, on an index that Celery's backend has created."""
    app = Celery(set_as_current=False)
    app.conf.elasticsearch_save_meta_as_text = as_text
    theirs = Celerys(url=index_url.replace("elasticsearch", "http", 1), app=app)
    theirs._server = client_of(index_url)
    theirs.store_result("theirs", {"a": 1}, "SUCCESS")
    ours = open_store(index_url, {"elasticsearch_save_meta_as_text": as_text})
    record = json.loads(ours.get("celery-task-meta-theirs").value)
    assert (record["status"], record["result"]) == ("SUCCESS", {"a": 1})
    assert not ours.offer(offer("celery-task-meta-theirs", Rank.FAILED), lambda _: Rank.SUCCEEDED)
    ours.set("celery-task-meta-ours", json.dumps({**record, "task_id": "ours"}).encode(), TTL)
    assert theirs.get_result("ours") == {"a": 1}
    assert sorted(ours.scan("celery-task")) == ["celery-task-meta-ours", "celery-task-meta-theirs"]
    assert [*ours.find({"state": "SUCCESS"})] == ["celery-task-meta-theirs"]
    assert [*ours.find({"state": "FAILURE"})] == [*ours.find({"task": "x"})] == []
    assert begin(ours, "barrier", 1).outcome is WAITING
    assert ours.barrier("barrier", TTL).arrive(part(0), RECORD).outcome is CLAIMED
    assert [value for _, _, value in ours.barrier("barrier").parts()] == [RECORD]
    ours.close()
    theirs._server.close()


def client_of(url):
    """A client without the options of Celery's backend that client 8 warns about."""
    return elasticsearch.Elasticsearch(url.rpartition("/")[0].replace("elasticsearch", "http", 1))


# -- the index ------------------------------------------------------------------------------------


def test_simultaneous_stores_create_the_index_once(index_url, open_one):
    stores = [open_one(index_url) for _ in range(6)]
    threads = [
        threading.Thread(target=store.set, args=(f"k{i}", b"v")) for i, store in enumerate(stores)
    ]
    for each in (*threads, None):
        if each:
            each.start()
    for each in threads:
        each.join()
    assert len(stores[0].get_batch([f"k{i}" for i in range(6)])) == 6
    assert sorted(stores[0].scan("k")) == [f"k{i}" for i in range(6)]


def test_reading_creates_no_index(index_url, open_one, requests):
    store = open_one(index_url)
    assert store.get("key") is None
    assert store.get_batch(["key"]) == {}
    assert list(store.scan("")) == []
    assert store.sweep() == 0
    store.delete("key")
    assert not any(line.startswith("PUT") for line in requests.lines)


def test_a_field_of_another_type_is_refused(index_url, open_one):
    store = make_index(index_url, open_one, {"expires": {"type": "long"}})
    with pytest.raises(ConfigurationError, match="a field 'expires' of type long"):
        store.set("key", b"v")


def test_an_index_with_results_as_objects_is_refused(index_url, open_one):
    store = make_index(index_url, open_one, {"result": {"properties": {"a": {"type": "long"}}}})
    with pytest.raises(ConfigurationError, match="save_meta_as_text to False"):
        store.set("key", b"v")


# -- round trips ----------------------------------------------------------------------------------


def test_a_result_is_one_request_and_started_then_success_are_two(store, requests):
    assert requests.of(store.offer, offer("a"), rank_of) == ["PUT _create"]
    assert requests.of(store.offer, offer("b", Rank.UNREADY), rank_of) == ["PUT _create"]
    assert requests.of(store.offer, offer("b"), rank_of) == ["PUT _doc"]
    assert store.get("b").value == b"3"


def test_replacing_another_processs_result_is_three_requests(store, requests, open_one, index_url):
    open_one(index_url).offer(offer("key", Rank.UNREADY), rank_of)
    three = ["PUT _create", "GET _doc", "PUT _doc"]
    assert requests.of(store.offer, offer("key"), rank_of) == three
    refused = ["PUT _create", "GET _doc"]
    assert requests.of(store.offer, offer("key", Rank.FAILED), rank_of) == refused


def test_a_remembered_version_is_only_a_guess(store, open_one, index_url):
    """Another process may have replaced or deleted a record that this one wrote."""
    other = open_one(index_url)
    for key in ("better", "gone", "celerys"):
        assert store.offer(offer(key, Rank.UNREADY), rank_of)
    other.offer(offer("better"), rank_of)
    other.delete("gone")
    assert not store.offer(offer("better", Rank.FAILED), rank_of)
    assert store.offer(offer("gone", Rank.FAILED), rank_of)
    assert other.get("gone").value == b"2"


def test_reads_are_one_request(store, requests):
    for i in range(10):
        store.set(f"k{i}", b"v")
    assert requests.of(store.get, "k0") == ["GET _doc"]
    keys = [f"k{i}" for i in range(1000)]
    store.get_batch(keys[:10])
    assert requests.of(store.get_batch, keys) == ["POST _mget"]
    assert requests.of(store.delete_batch, keys) == ["POST _bulk"]


def test_a_part_with_its_result_is_two_requests(store, requests, open_one, index_url):
    assert requests.of(begin, store, "chord", 3) == ["POST _bulk"] * 2

    def finish(place, by=store):
        return by.barrier("chord", TTL).finish(part(place), offer(f"r{place}"), rank_of)

    assert requests.of(finish, 0) == ["POST _bulk", "PUT _create"]
    other = open_one(index_url)
    other.set("made", b"")
    assert requests.of(finish, 1, other) == ["GET _doc", "POST _bulk", "PUT _create"]
    claim = ["POST _bulk", "POST _refresh", "POST _search", "POST _bulk"]
    assert requests.of(finish, 2) == claim
    assert requests.of(lambda: list(store.barrier("chord").parts())) == ["GET _doc", "POST _mget"]
    assert requests.of(store.barrier("chord").renew, part(2)) == ["GET _doc"]
    end = (part(2), offer("r2"), rank_of)
    assert requests.of(store.barrier("chord", TTL).close, *end) == [
        "POST _bulk",
        "PUT _create",
        "POST _bulk",
    ]
    assert requests.of(store.barrier("chord", TTL).arrive, part(1), b"v") == ["GET _doc"]


def test_polling_many_absent_keys_is_one_request(store, requests):
    keys = [f"pending-{i}" for i in range(1000)]
    store.set("pending-7", b"v")
    store.get_batch(keys)
    for _ in range(2):
        assert requests.of(store.get_batch, keys) == ["POST _mget"]


def test_large_values_are_read_in_small_batches():
    batches = BatchSize()
    assert batches.size == 32
    batches.adjust(32, 32_000_000)
    assert batches.size == 16
    batches.adjust(16, 16_000)
    assert batches.size == 1000
    batches.adjust(1, -100)
    assert batches.size == 1000
    batches = BatchSize()
    for expected in (128, 512, 1000):
        batches.adjust(0, 1000)
        assert batches.size == expected


# -- barriers -------------------------------------------------------------------------------------


@pytest.fixture
def documents_left(store):
    """A function that returns the number of documents in the index."""

    def count():
        index = store_path(store)
        sender(store).send("POST", f"{index}/_refresh").accepted()
        return json.loads(sender(store).send("GET", f"{index}/_count").accepted())["count"]

    return count


def test_a_worker_that_remembers_an_earlier_run_finds_the_new_one(store, open_one, index_url):
    worker = open_one(index_url)
    begin(store, "chord", 2)
    assert worker.barrier("chord", TTL).arrive(part(0), b"old").outcome is WAITING
    begin(store, "chord", 2)
    assert worker.barrier("chord", TTL).arrive(part(1), b"new").outcome is WAITING
    assert worker.barrier("chord", TTL).arrive(part(0), b"new").outcome is CLAIMED
    assert {value for _, _, value in worker.barrier("chord").parts()} == {b"new"}


def test_a_worker_that_remembers_an_open_run_finds_it_closed(
    store, open_one, index_url, documents_left
):
    worker = open_one(index_url)
    begin(store, "chord", 2)
    worker.barrier("chord", TTL).arrive(part(0), b"v")
    assert store.barrier("chord", TTL).arrive(part(1), b"v").outcome is CLAIMED
    assert len(list(store.barrier("chord").parts())) == 2
    store.barrier("chord", TTL).close(part(1), None, rank_of)
    assert worker.barrier("chord", TTL).arrive(part(0, "again"), b"v").outcome is CLOSED
    assert documents_left() == 2  # the tombstone, and what the fixture stored


def test_a_part_between_claim_and_close_leaves_nothing(store, documents_left):
    begin(store, "chord", 1)
    assert store.barrier("chord", TTL).arrive(part(0), b"v").outcome is CLAIMED
    assert store.barrier("chord", TTL).arrive(part(7), b"stray").outcome is HELD
    store.barrier("chord", TTL).close(part(0), None, rank_of)
    assert documents_left() == 2


def test_a_redelivered_part_does_not_complete_a_barrier(store):
    begin(store, "chord", 3)
    for _ in range(5):
        assert store.barrier("chord", TTL).arrive(part(0), b"v").outcome is WAITING
    assert store.barrier("chord", TTL).arrive(part(1), b"v").outcome is WAITING
    assert store.barrier("chord", TTL).arrive(part(2), b"v").outcome is CLAIMED


def test_expired_documents_of_a_barrier_are_swept(store, documents_left):
    """Once; what tells that the barrier was there is kept for thirty days."""
    store.barrier("chord", 0.05).open(b"")
    store.barrier("chord", 0.05).arrive(part(0), b"v")
    time.sleep(0.1)
    before, swept = documents_left(), store.sweep()
    assert swept >= 1
    assert store.sweep() == 0
    assert documents_left() == before - swept > 0


def test_a_chord_on_an_index_of_several_shards(index_url, open_one):
    stores = [open_one(f"{index_url}?number_of_shards=3") for _ in range(3)]
    for name in ("a", "b", "c", "d"):
        begin(stores[0], name, 30)
        outcomes = [
            stores[i % 3].barrier(name, TTL).arrive(part(i), b"%d" % i).outcome for i in range(30)
        ]
        assert outcomes == [WAITING] * 29 + [CLAIMED]
        assert len(list(stores[1].barrier(name).parts())) == 30


def test_one_of_simultaneous_arrivals_claims(index_url, open_one):
    size = 40
    stores = [open_one(index_url) for _ in range(4)]
    stores[0].barrier("chord", TTL).open(b"")
    outcomes = []

    def arrive_some(first):
        store = stores[first]
        outcomes.extend(
            store.barrier("chord", TTL).arrive(part(i), b"v").outcome for i in range(first, size, 4)
        )
        if first == 2:
            outcomes.append(
                stores[2].barrier("chord", TTL).expect(Part(SIZE_PLACE, "s", "s"), size).outcome
            )

    threads = [threading.Thread(target=arrive_some, args=(i,)) for i in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(outcomes) == size + 1
    assert outcomes.count(CLAIMED) == 1


# -- ranks ----------------------------------------------------------------------------------------


def _racer(url, rank, count, barrier):
    store = open_store(url)
    store.get("key")
    for i in range(count):
        barrier.wait()
        store.offer(offer(f"race-{i}", rank), rank_of)


def test_no_retry_of_another_process_replaces_a_success(index_url, store):
    count, context = 50, get_context("spawn")
    barrier = context.Barrier(2)
    racers = [
        context.Process(target=_racer, args=(index_url, rank, count, barrier))
        for rank in (Rank.SUCCEEDED, Rank.UNREADY)
    ]
    for each in racers:
        each.start()
    for each in racers:
        each.join()
    found = store.get_batch([f"race-{i}" for i in range(count)])
    assert set(found.values()) == {b"3"}
    assert len(found) == count


# -- shards ---------------------------------------------------------------------------------------


def test_an_operation_addresses_one_document_or_the_shard_of_its_chord(store, monkeypatch):
    """A key's request names its document, and a chord's requests all have the chord's routing."""
    sent, send = [], type(sender(store)).send

    def record(self, method, target, body=None):
        sent.append(target.removeprefix(store_path(store)))
        return send(self, method, target, body)

    monkeypatch.setattr(type(sender(store)), "send", record)
    for call, *arguments in (
        (store.compare_and_set, "own", b"1", None, TTL),
        (store.get, "own"),
        (store.set, "own", b"2", TTL),
        (store.offer, offer("own-o"), rank_of),
        (store.delete, "own"),
    ):
        del sent[:]
        call(*arguments)
        [target] = sent
        assert target.partition("?")[0] in {"/_doc/own", "/_create/own", "/_create/own-o"}
    del sent[:]
    begin(store, "one-chord", 3)
    for place in range(2):
        store.barrier("one-chord", TTL).arrive(part(place), b"value")
    assert len({target.partition("routing=")[2] for target in sent}) == 1
    assert all(target.startswith("/_bulk?routing=") for target in sent)
