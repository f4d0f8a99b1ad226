"""Values that are split into chunks; `test_contract` runs the contract's checks on them."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from celery import chord

from kvbackends import StoreError, ValueTooLarge, open_store
from kvbackends.contract import Outcome, Rank, Store
from kvbackends.layers.chunks import MARGIN, Chunks
from kvbackends.layers.guard import Guard
from kvbackends.layers.layer import innermost
from kvbackends.layers.manifest import MAGIC
from kvbackends.layers.only_five import OnlyFive
from tests.backend.conftest import MakeApp, make_app
from tests.layers.stores import LIMIT, LimitedDict, LimitedMemory
from tests.support.chords import offer, part, publisher, rank_of
from tests.support.threads import together

__all__ = ["make_app"]

BIG = bytes(range(256)) * 40
"""Eleven chunks."""
TEXT = BIG.decode("latin-1")
TTL = 60.0


def _sqlite(folder) -> Store:
    return open_store(f"limited-sqlite:///{folder}/results.db?chunk=1&retry=0")


KINDS: dict[str, Callable[..., Store]] = {
    "native": lambda folder: Chunks(Guard(LimitedMemory(str(folder)))),
    "masked": lambda folder: OnlyFive(Chunks(Guard(LimitedMemory(str(folder))))),
    "five": lambda _: Chunks(Guard(LimitedDict())),
    "sqlite": _sqlite,
}


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path) -> Iterator[Store]:
    opened = KINDS[request.param](tmp_path)
    yield opened
    opened.close()


class TestOpening:
    def test_values_are_split_only_with_chunk_in_the_url(self):
        """Without ``chunk=1`` a value above the limit is refused; with it, it is stored."""
        with pytest.raises(ValueTooLarge, match="chunk=1"):
            open_store("limited://chunks-off").set("k", BIG)
        store = open_store("limited://chunks-on?chunk=1")
        store.set("k", BIG)
        assert store.get("k").value == BIG
        assert store.limits.value_bytes > len(BIG)

    def test_a_store_without_a_limit_gets_no_layer(self):
        """No value is too large for it."""
        assert not isinstance(open_store("memory://chunks?chunk=1&retry=0"), Chunks)
        with pytest.raises(ValueError, match="no limit"):
            Chunks(open_store("memory://chunks"))


class TestFamilies:
    def test_large_plain_values_work(self, store: Store):
        """A large plain value is read alone and in batches, replaced and deleted."""
        store.set("k", BIG)
        assert store.get_batch(["k", "absent"]) == {"k": BIG}
        entry = store.get("k")
        assert entry.value == BIG
        assert not store.compare_and_set("k", BIG[1:], None)
        assert store.compare_and_set("k", BIG[1:], entry.version)
        assert not store.compare_and_set("k", BIG[2:], entry.version)
        assert store.get("k").value == BIG[1:]
        store.delete("k")
        assert store.get("k") is None
        assert store.compare_and_set("k", BIG, None)

    def test_large_records_are_ranked(self, store: Store):
        """Each rank is compared with each, as for small records."""
        assert store.offer(offer("k", Rank.UNREADY, TEXT), rank_of)
        assert store.offer(offer("k", Rank.FAILED, TEXT), rank_of)
        assert not store.offer(offer("k", Rank.UNREADY, "small"), rank_of)
        assert not store.offer(offer("k", Rank.UNREADY, TEXT), rank_of)
        assert store.offer(offer("k", Rank.SUCCEEDED, TEXT), rank_of)
        assert not store.offer(offer("k", Rank.SUCCEEDED, "small"), rank_of)
        assert store.get("k").value == b"3" + TEXT.encode()

    def test_a_repeated_offer_is_idempotent(self, store: Store):
        """A second offer of the same large success returns True."""
        assert store.offer(offer("k", Rank.SUCCEEDED, TEXT), rank_of)
        assert store.offer(offer("k", Rank.SUCCEEDED, TEXT), rank_of)

    def test_an_offer_ranks_a_value_that_set_wrote(self, store: Store):
        """Such a record has no rank beside it, so its value is read."""
        store.set("done", b"3" + BIG)
        assert not store.offer(offer("done", Rank.FAILED), rank_of)
        store.set("failed", b"2" + BIG)
        assert store.offer(offer("failed", Rank.SUCCEEDED), rank_of)

    def test_finish_over_what_a_plain_set_wrote(self, store: Store):
        """The same at the end of a header task."""
        barrier = store.barrier("b", TTL)
        barrier.open(b"")
        store.set("k", b"2" + BIG)
        barrier.finish(part(0), offer("k", Rank.SUCCEEDED, "small"), rank_of)
        assert store.get("k").value == b"3small"

    def test_barrier(self, store: Store):
        """Large parts, a large record and a large completing result; nothing is left behind."""
        barrier = store.barrier("b", TTL)
        barrier.open(BIG)
        barrier.expect(publisher(), 3)
        barrier.arrive(part(0), BIG)
        barrier.finish(part(1), offer("k1", Rank.SUCCEEDED, TEXT), rank_of)
        last = part(2)
        arrival = barrier.finish(last, offer("k2", Rank.SUCCEEDED, TEXT), rank_of)
        assert (arrival.outcome, arrival.parts, arrival.payload) == (Outcome.CLAIMED, 3, BIG)
        assert store.get("k2") is None
        values = {place: value for place, _, value in barrier.parts()}
        assert values == {0: BIG, 1: b"3" + TEXT.encode(), 2: b"3" + TEXT.encode()}
        assert barrier.renew(last)
        barrier.close(last, offer("k2", Rank.SUCCEEDED, TEXT), rank_of)
        assert store.get("k1").value == store.get("k2").value == b"3" + TEXT.encode()
        for key in ("k1", "k2", "b"):
            store.delete(key)
        assert chunks_in(store) == []

    def test_a_failed_part_may_be_replaced_before_the_dispatch(self, store: Store):
        """A result and its part have chunks of their own."""
        barrier = store.barrier("b", TTL)
        barrier.open(b"")
        barrier.finish(part(0), offer("k", Rank.FAILED, TEXT), rank_of)
        store.delete("k")
        assert next(barrier.parts())[2] == b"2" + TEXT.encode()

    def test_a_part_that_comes_too_late_leaves_nothing(self, store: Store):
        """After the tombstone nothing is recorded, chunks included."""
        barrier = store.barrier("b", TTL)
        barrier.open(b"")
        barrier.expect(publisher(), 1)
        last = part(0)
        barrier.arrive(last, b"v")
        barrier.close(last, None, rank_of)
        assert barrier.arrive(part(0), BIG).outcome is Outcome.CLOSED
        assert chunks_in(store) == []

    def test_numbers_are_not_split(self, store: Store):
        """`increment` works without chunks."""
        assert [store.increment("n", 5, None) for _ in range(2)] == [5, 10]

    def test_a_value_may_look_like_a_manifest(self, store: Store):
        """The bytes of a manifest are stored and read like any value."""
        store.set("k", BIG)
        manifest = at_adapter(store, "k")
        assert manifest.startswith(MAGIC)
        for value in (manifest, MAGIC, MAGIC + b"nonsense"):
            store.set("k2", value)
            assert store.get("k2").value == value

    def test_chunks_are_not_listed(self, tmp_path):
        """`scan` yields the keys of values only."""
        store = _sqlite(tmp_path)
        store.set("key", BIG)
        assert list(store.scan("")) == ["key"]


class TestTimeToLive:
    def test_chunks_outlive_their_manifest(self):
        """No reader finds a manifest whose chunks have expired."""
        inner = LimitedDict()
        store = Chunks(Guard(inner))
        store.set("k", BIG, TTL)
        first = inner.rows["k"].expires
        chunks = [row.expires for key, row in inner.rows.items() if key != "k"]
        assert len(chunks) == 11
        assert first + MARGIN - 1 < min(chunks)

    def test_a_large_value_expires(self, store: Store):
        """It is absent after its ttl, and a new value can be stored."""
        store.set("k", BIG, 0.08)
        time.sleep(0.12)
        assert store.get("k") is None
        assert store.get_batch(["k"]) == {}
        assert store.offer(offer("k2", Rank.SUCCEEDED, TEXT, 0.08), rank_of)
        time.sleep(0.12)
        assert store.offer(offer("k2", Rank.UNREADY), rank_of)

    def test_touch_renews_the_value(self, store: Store):
        """The new ttl applies to the chunks, too."""
        store.set("k", BIG, 1)
        assert store.touch("k", None)
        assert not store.touch("absent", None)
        time.sleep(1.05)
        assert store.get("k").value == BIG

    def test_touch_renews_every_chunk(self, tmp_path):
        """A native `touch` renews every chunk before the manifest."""
        store = _sqlite(tmp_path)
        store.set("k", BIG, TTL)
        store.touch("k", 10 * TTL)
        with closing(sqlite3.connect(tmp_path / "results.db")) as file:
            expiries = dict(file.execute("SELECT key, expires FROM entry"))
        assert len(expiries) == 12
        assert expiries.pop("k") + MARGIN - 1 < min(expiries.values())

    def test_a_wrong_ttl_writes_nothing(self, store: Store):
        """An invalid ttl is refused before the first chunk is written."""
        with pytest.raises(ValueError, match="time to live"):
            store.set("k", BIG, -1)
        assert chunks_in(store) == []


class TestRemoval:
    def test_replaced_and_deleted_values_leave_no_chunks(self, store: Store):
        """Their chunks are deleted with them."""
        store.set("k", BIG)
        store.set("k", BIG[::-1])
        assert len(chunks_in(store)) == 11
        store.compare_and_set("k", b"small", store.get("k").version)
        assert chunks_in(store) == []
        store.compare_and_set("k", BIG, None)
        assert chunks_in(store) == []
        store.set("k", BIG)
        store.delete("k")
        assert chunks_in(store) == []

    def test_refused_offers_leave_no_chunks(self, store: Store):
        """A writer whose offer is refused deletes its chunks."""
        store.offer(offer("k", Rank.SUCCEEDED), rank_of)
        store.offer(offer("k", Rank.FAILED, TEXT), rank_of)
        assert chunks_in(store) == []


class TestLostChunks:
    def test_a_torn_value_is_absent_and_can_be_replaced(self, store: Store):
        """If the store lost a chunk, the value is absent for every family of keys."""
        store.set("plain", BIG)
        store.offer(offer("ranked", Rank.SUCCEEDED, TEXT), rank_of)
        for key in ("plain", "ranked"):
            lose_a_chunk(store, key)
            assert store.get(key) is None
        assert store.get_batch(["plain", "ranked"]) == {}
        assert store.compare_and_set("plain", b"new", None)
        assert store.offer(offer("ranked", Rank.UNREADY), rank_of)
        assert store.get("ranked").value == b"1"

    def test_a_torn_part_counts_as_expired(self, store: Store):
        """The dispatcher sees fewer parts than were claimed."""
        barrier = store.barrier("b", TTL)
        barrier.open(b"")
        barrier.expect(publisher(), 1)
        assert barrier.arrive(part(0), BIG).parts == 1
        for key in chunks_in(store):
            innermost(store).delete(key)
        assert list(barrier.parts()) == []


class TestRaces:
    def test_readers_never_see_a_torn_or_mixed_value(self, store: Store):
        """While one writer replaces a large value repeatedly, readers find complete ones."""
        values = [bytes([i]) * (LIMIT * 3) for i in range(4)]
        store.set("k", values[0])
        over = threading.Event()

        def write() -> None:
            for i in range(60):
                store.set("k", values[i % 4])
            over.set()

        def read() -> None:
            while not over.is_set():
                assert store.get("k").value in values
                assert store.get_batch(["k"])["k"] in values

        together([write, read, read])

    def test_one_of_many_creators_wins(self, store: Store):
        """Of eight threads that create a large value, one succeeds and the others leave nothing."""
        values = [bytes([i]) * (LIMIT * 2) for i in range(8)]
        won = together(lambda v=v: store.compare_and_set("k", v, None) for v in values)
        assert won.count(True) == 1
        assert store.get("k").value == values[won.index(True)]
        assert len(chunks_in(store)) == 2


class TestBackend:
    @pytest.fixture(params=["limited://{}?chunk=1", "limited-sqlite:///{}/results.db?chunk=1"])
    def app(self, request: pytest.FixtureRequest, make_app: MakeApp, tmp_path) -> Any:
        return make_app(url=request.param.format(tmp_path))

    def test_a_result_of_five_megabytes(self, app: Any):
        """Celery stores it, reads it and forgets it, and the store's limit is a kilobyte."""
        result = app.tasks["large"].delay(5_000_000)
        app.bench.run_all()
        assert result.get(timeout=30) == "x" * 5_000_000
        result.forget()
        assert chunks_in(app.backend.store) == []

    def test_a_chord_of_large_parts(self, app: Any):
        """The body gets all of every part, and the chord leaves only results behind."""
        large, echo = app.tasks["large"], app.tasks["echo"]
        result = chord([large.s(20_000 + i) for i in range(8)])(echo.s())
        app.bench.run_all()
        assert [len(each) for each in result.get(timeout=30)] == [20_000 + i for i in range(8)]
        result.forget()
        result.parent.forget()
        assert chunks_in(app.backend.store) == []

    def test_a_wait_ends_when_the_manifest_is_there(self, app: Any):
        """Who waits in another thread is woken once, for the whole value."""
        result = app.tasks["large"].delay(50_000)
        timer = threading.Timer(0.2, app.bench.run_all)
        timer.start()
        assert len(result.get(timeout=30)) == 50_000
        timer.join()


TOKEN = "0123456789abcdef"
BROKEN = {
    "no JSON": b"[[[",
    "no manifest": b'{"a": 1}',
    "a billion chunks": b'["%s",1000000000,1000000000,3]' % TOKEN.encode(),
    "no chunks": b'["%s",0,5,3]' % TOKEN.encode(),
    "another rank": b'["%s",1,5,9]' % TOKEN.encode(),
    "a strange token": b'["../x",1,5,3]',
}


class TestHostileManifests:
    @pytest.mark.parametrize("name", BROKEN)
    def test_a_broken_manifest_is_told_and_can_be_replaced(self, store: Store, name: str):
        """Reading says what is wrong; no operation does what the manifest claims."""
        innermost(store).set("k", MAGIC + BROKEN[name], TTL)
        with pytest.raises(StoreError, match="manifest of a split value at 'k' is broken"):
            store.get("k")
        with pytest.raises(StoreError, match="broken"):
            store.get_batch(["k", "other"])
        store.set("k", b"v", TTL)
        assert store.get("k").value == b"v"
        if "offer" in store.native:  # a derived one reads first
            innermost(store).set("k", MAGIC + BROKEN[name], TTL)
            assert store.offer(offer("k", Rank.SUCCEEDED), _unreadable_yields)
        innermost(store).set("k", MAGIC + BROKEN[name], TTL)
        store.delete("k")
        assert store.get("k") is None

    def test_a_claim_above_the_limit_is_refused(self, store: Store):
        """The error names the option; nothing is read for it."""
        innermost(store).set("k", MAGIC + b'["%s",60000,99999999999,3]' % TOKEN.encode(), TTL)
        with pytest.raises(ValueTooLarge, match="unpacked_mb"):
            store.get("k")

    def test_chunks_that_are_larger_than_claimed(self, store: Store):
        """The value is absent: no more is read than the manifest claims."""
        inner = innermost(store)
        inner.set("k", MAGIC + b'["%s",1000,5,3]' % TOKEN.encode(), TTL)
        for n in range(1000):
            inner.set(f"k.chunk-{TOKEN}-{n}", b"x" * 100, TTL)
        assert store.get("k") is None

    def test_a_value_above_the_limit_is_refused_by_its_writer(self):
        """Else no reader could read it."""
        store = open_store("limited://chunks-limit?chunk=1&unpacked_mb=0.01")
        assert store.limits.value_bytes == 10_485
        store.set("k", b"x" * 10_485)
        with pytest.raises(ValueTooLarge, match="unpacked_mb"):
            store.set("k", b"x" * 10_486)
        assert len(store.get("k").value) == 10_485

    def test_one_bad_record_fails_its_own_wait(self, make_app: MakeApp):
        """Waits that share its reads go on."""
        app = make_app(url="limited://chunks-wait?chunk=1")
        bad, good = app.AsyncResult("bad"), app.AsyncResult("good")
        outcomes: list[Any] = []
        waits = [
            threading.Thread(target=lambda: outcomes.append(good.get(timeout=30))),
            threading.Thread(target=lambda: outcomes.append(_raised(bad))),
        ]
        for each in waits:
            each.start()
        time.sleep(0.1)
        backend = app.backend
        hostile = offer(backend.key_of("bad"), Rank.SUCCEEDED)
        value = MAGIC + BROKEN["a billion chunks"]
        innermost(backend.store).offer(hostile._replace(value=value), backend.ranks.rank_of)
        waits[1].join()
        backend.store_result("good", 42, "SUCCESS")
        waits[0].join()
        assert [isinstance(outcomes[0], StoreError), outcomes[1]] == [True, 42]


def _raised(result: Any) -> Exception | None:
    try:
        result.get(timeout=30)
    except Exception as error:
        return error
    return None


def _unreadable_yields(stored: bytes) -> Rank:
    return Rank.UNREADY if stored.startswith(MAGIC) else rank_of(stored)


def at_adapter(store: Store, key: str) -> bytes:
    return innermost(store).get(key).value


def chunks_in(store: Store) -> list[str]:
    inner = innermost(store)
    keys = list(inner.rows) if isinstance(inner, LimitedDict) else list(inner.scan(""))
    return [key for key in keys if ".chunk-" in key]


def lose_a_chunk(store: Store, key: str) -> None:
    for each in chunks_in(store):
        if each.startswith(f"{key}.chunk-"):
            innermost(store).delete(each)
            return
