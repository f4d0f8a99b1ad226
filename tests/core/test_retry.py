"""The retry layer: which operations are retried, how often, and unknown outcomes."""

import itertools
import logging
import math
import re
import socket
import ssl
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from kvbackends import ConfigurationError, NotSupported, StoreUnavailable, ValueTooLarge
from kvbackends.contract import Rank, Store
from kvbackends.contract.deadline import deadline, within
from kvbackends.contract.options import CoreOptions
from kvbackends.contract.paged import PagedBarrier
from kvbackends.contract.url import StoreURL
from kvbackends.errors import UnknownHost
from kvbackends.layers import barriers, outage, retry
from kvbackends.layers.outage import CALM
from kvbackends.layers.retry import Retry, at_most
from kvbackends.stores.memory import MemoryStore
from tests.support.chords import offer, part, publisher, rank_of
from tests.support.dict_store import DictStore
from tests.support.layers import Broken, Faulty

_names = itertools.count()
PATIENT = CoreOptions(retry_timeout=30)


class Slept:
    """The layer's clock and random numbers: sleeping takes no time and is recorded."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> Slept:
    clock = Slept()
    monkeypatch.setattr(retry, "time", clock)
    monkeypatch.setattr(barriers, "time", clock)
    monkeypatch.setattr(retry, "random", SimpleNamespace(uniform=lambda _, longest: longest))
    return clock


def faulty(*script: str | Callable[[], object], options: CoreOptions = PATIENT) -> Retry:
    return Retry(Faulty(DictStore(), script), options)


def native(*script: str) -> Retry:
    return Retry(Faulty(MemoryStore(f"retry-{next(_names)}"), script), PATIENT)


def calls(store: Retry) -> list[str]:
    return store.inner.seen


def failing(cause: Exception) -> tuple[Retry, list[str]]:
    """A store whose driver fails because of `cause`, and the keys that were asked for."""
    inner, asked = DictStore(), []

    def fail(key: str):
        asked.append(key)
        raise Broken from cause

    inner.get, inner.transient_errors = fail, (Broken,)
    return Retry(inner, PATIENT), asked


def _ssl_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


class TestRetriedOperations:
    @pytest.mark.parametrize("how", ["before", "after"])
    def test_the_five_methods_are_retried(self, how: str):
        """Each of the five methods is repeated until it succeeds."""
        store = faulty(how, how)
        store.set("k", b"v")
        store.inner.script = [how, how]
        assert store.get("k").value == b"v"
        store.inner.script = [how, how]
        store.delete("k")
        assert store.get("k") is None

    @pytest.mark.parametrize("how", ["before", "after"])
    def test_native_operations_are_retried(self, how: str):
        """Native operations are repeated until they succeed."""
        store = native(how)
        assert store.offer(offer("k", Rank.SUCCEEDED), rank_of)
        store.inner.script = [how]
        assert store.get_batch(["k"]) == {"k": b"3"}

    def test_each_step_of_a_derived_operation_is_retried(self):
        """Whichever step fails, it is repeated."""
        for failing in range(12):
            for how in ("before", "after"):
                store = faulty(*["ok"] * failing, how)
                barrier = store.barrier("b", 60)
                barrier.open(b"payload")
                barrier.expect(publisher(), 1)
                answer = barrier.arrive(part(0), b"v")
                assert (answer.parts, answer.payload) == (1, b"payload")

    @pytest.mark.parametrize(
        "error", [ValueError("bad"), ValueTooLarge("large"), NotSupported("no"), KeyError("k")]
    )
    def test_other_errors_are_not(self, error: Exception):
        """An error that is not transient is raised at once, as it is."""
        inner = DictStore()

        def fail(key: str):
            raise error

        inner.get = fail
        store = Retry(inner, PATIENT)
        with pytest.raises(type(error)):
            store.get("k")

    def test_subscribing_is_not_retried(self):
        """Waiters subscribe again themselves."""
        store = native("before")
        with pytest.raises(Broken):
            store.subscribe()

    def test_pings_are_not_retried(self):
        """A ping reports the current state of the server."""
        store = faulty("before")
        with pytest.raises(Broken):
            store.ping()

    def test_parts_are_read_at_once(self):
        """An error in the middle of the parts is retried; the caller that iterates sees none."""
        fails = [Broken()]

        class Streaming(PagedBarrier):
            def parts(self):
                yield 0, "a", b"a"
                if fails:
                    raise fails.pop()
                yield 1, "b", b"b"

        class Stream(DictStore):
            def barrier(self, name, ttl=None):
                return Streaming(self, name, ttl)

        stream = Stream()
        stream.transient_errors = (Broken,)
        store = Retry(stream, PATIENT)
        assert [value for _, _, value in store.barrier("b").parts()] == [b"a", b"b"]


class TestBounds:
    def test_retries_end_after_the_timeout(self, slept: Slept):
        """`StoreUnavailable` is raised then, and the driver's error is its cause."""
        store = faulty(*["before"] * 1000, options=CoreOptions(retry_timeout=5))
        with pytest.raises(
            StoreUnavailable, match=r"did not answer for \d\.\d s \(\d+ attempts of `get`"
        ) as raised:
            store.get("k")
        assert isinstance(raised.value.__cause__, Broken)
        assert slept.now <= 5

    def test_retries_end_after_the_attempts(self):
        """The operation is repeated `retry_attempts` times."""
        store = faulty(*["before"] * 1000, options=CoreOptions(retry_attempts=3))
        with pytest.raises(StoreUnavailable):
            store.get("k")
        assert calls(store) == ["get"] * 4

    def test_without_attempts_the_first_error_is_final(self, slept: Slept):
        """With zero attempts the layer does not sleep."""
        store = faulty("before", options=CoreOptions(retry_attempts=0))
        with pytest.raises(StoreUnavailable):
            store.set("k", b"v")
        assert slept.pauses == []

    def test_a_caller_can_lower_the_number_of_retries(self):
        """A caller can limit the retries of a block, but not raise the limit."""
        store = faulty(*["before"] * 1000, options=CoreOptions(retry_attempts=5))
        for asked, made in ((2, 3), (100, 6), (None, 6)):
            calls(store).clear()
            with at_most(asked), pytest.raises(StoreUnavailable):
                store.get("k")
            assert len(calls(store)) == made

    def test_pauses_double_up_to_the_longest(self, slept: Slept):
        """Each pause is twice the last one, up to `retry_longest_ms`."""
        options = CoreOptions(retry_first_ms=10, retry_longest_ms=100)
        store = faulty(*["before"] * 6, options=options)
        store.get("k")
        assert slept.pauses == [0.01, 0.02, 0.04, 0.08, 0.1, 0.1]

    def test_pauses_may_begin_with_none(self, slept: Slept):
        """As in Celery's own retry policies; those of a longer outage are never without end."""
        faulty(*["before"] * 4, options=CoreOptions(retry_first_ms=0)).get("k")
        assert slept.pauses == [0, 0.01, 0.02, 0.04]
        slept.pauses.clear()
        faulty(*["before"] * 3, options=CoreOptions(retry_longest_ms=0)).get("k")
        assert slept.pauses == [0, 0.001, 0.001]

    def test_pauses_have_jitter(self, monkeypatch: pytest.MonkeyPatch, slept: Slept):
        """Each pause is a random number between half of its length and the whole."""
        drawn: list[tuple[float, float]] = []
        chance = SimpleNamespace(uniform=lambda low, high: drawn.append((low, high)) or low)
        monkeypatch.setattr(retry, "random", chance)
        faulty("before", "before").get("k")
        assert drawn == [(0.005, 0.01), (0.01, 0.02)]

    def test_without_errors_the_layer_does_not_sleep(self, slept: Slept):
        """An operation that succeeds is not delayed."""
        faulty().set("k", b"v")
        assert slept.pauses == []

    def test_the_first_attempt_counts(self, slept: Slept):
        """What it takes is not added to the timeout, and it is told by when it has to be over."""
        inner, deadlines = DictStore(), []

        def hang(key: str):
            deadlines.append(deadline.get())
            slept.now = deadline.get()
            raise Broken

        inner.get, inner.transient_errors = hang, (Broken,)
        store = Retry(inner, CoreOptions(retry_timeout=5))
        with pytest.raises(StoreUnavailable, match=r"for 5\.0 s \(1 attempt of `get`"):
            store.get("k")
        assert (deadlines, slept.pauses, deadline.get()) == ([5], [], math.inf)

    @pytest.mark.parametrize(("seconds", "says"), [(0.1, "loading"), (2.0, "no answer")])
    def test_an_attempt_that_is_cut_short_hides_no_reason(
        self, slept: Slept, seconds: float, says: str
    ):
        """The end of the time is told as silence only where the server was silent for a while."""
        inner = DictStore()

        def refuse(key: str):
            if slept.now == 0:
                slept.now = deadline.get() - seconds
                raise Broken("loading")
            slept.now = deadline.get()
            raise Broken("no answer")

        inner.get, inner.transient_errors = refuse, (Broken,)
        store = Retry(inner, CoreOptions(retry_timeout=5, retry_first_ms=0))
        with pytest.raises(StoreUnavailable, match=rf"2 attempts of `get`; last error: {says}\)"):
            store.get("k")

    def test_a_barriers_operation_has_a_deadline(self):
        """As any other operation."""
        deadlines = []

        class Noting(PagedBarrier):
            def open(self, payload):
                deadlines.append(deadline.get())

        class Native(DictStore):
            def barrier(self, name, ttl=None):
                return Noting(self, name, ttl)

        Retry(Native(), CoreOptions(retry_timeout=5)).barrier("b", 60).open(b"payload")
        assert (deadlines, deadline.get()) == ([5], math.inf)

    def test_a_caller_can_shorten_the_time(self, slept: Slept):
        """Of all operations that it begins, also in other threads."""
        inner, deadlines = DictStore(), []
        inner.get = lambda _: deadlines.append(deadline.get())
        store = Retry(inner, PATIENT)
        slept.now = time.monotonic()
        within(2, store.get_batch, ["a", "b"])
        store.get("k")
        assert deadlines == pytest.approx([slept.now + each for each in (2, 2, 30)], abs=1)

    def test_message_names_no_secret(self):
        """The message repeats what the driver says, without the URL's password."""
        inner = Faulty(DictStore())

        def fail(key: str):
            raise Broken("redis://:hunter2@host refused")

        inner.get = fail
        url = StoreURL.parse("redis://:hunter2@host")
        store = Retry(inner, CoreOptions(retry_attempts=0), url)
        with pytest.raises(StoreUnavailable) as raised:
            store.get("k")
        assert "hunter2" not in str(raised.value)
        assert "refused" in str(raised.value)


class TestTelling:
    def test_an_outage_is_logged_at_its_beginning_and_its_end(self, caplog):
        """Once each, with the redacted address, the operation and the driver's words."""
        url = StoreURL.parse("redis://:hunter2@host")
        store = Retry(Faulty(DictStore(), ["before"] * 4), CoreOptions(), url)
        with caplog.at_level(logging.INFO, "kvbackends"):
            store.get("k")
            store.set("k", b"v")
        begin, end = caplog.records
        assert (begin.levelname, end.levelname) == ("WARNING", "INFO")
        assert re.match(r"redis://:\*\*@host does not answer `get` \(\w+", begin.message)
        assert re.match(r"redis://:\*\*@host answers again, after \d", end.message)

    def test_a_second_outage_is_told_if_it_lasts(self, slept, caplog, monkeypatch):
        """A cluster recovers server by server, and operations succeed between those that fail."""
        monkeypatch.setattr(outage, "time", slept)
        inner = Faulty(DictStore())
        store = Retry(inner, PATIENT)
        with caplog.at_level(logging.INFO, "kvbackends"):
            for failures in (1, 1, 1, 10):
                inner.script[:] = ["before"] * failures
                store.get("k")
        levels = [each.levelname for each in caplog.records]
        assert levels == ["WARNING", "INFO"] * 2
        assert slept.now > CALM

    def test_an_outage_lasts_while_an_operation_fails(self, caplog):
        """Operations that succeed meanwhile, on another server of the store, do not end it."""
        inner, told = DictStore(), []
        read, inner.transient_errors = inner.get, (ConnectionError,)

        def get(key: str) -> object:
            if len(told) == 3:
                return read(key)
            store.set("alive", b"v")
            told.append([each.levelname for each in caplog.records])
            raise ConnectionError

        inner.get = get
        store = Retry(inner, PATIENT)
        with caplog.at_level(logging.INFO, "kvbackends"):
            store.get("dead")
        assert told == [[], ["WARNING"], ["WARNING"]]
        assert [each.levelname for each in caplog.records] == ["WARNING", "INFO"]

    def test_an_operation_that_was_given_up_is_no_end(self, caplog):
        """The next success is."""
        store = faulty(*["before"] * 4, options=CoreOptions(retry_attempts=1))
        with caplog.at_level(logging.INFO, "kvbackends"):
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    store.get("k")
            assert [each.levelname for each in caplog.records] == ["WARNING"]
            store.get("k")
        assert [each.levelname for each in caplog.records] == ["WARNING", "INFO"]

    @pytest.mark.parametrize(
        ("cause", "says"),
        [
            (ssl.SSLCertVerificationError(1, "self-signed"), "certificate is not accepted"),
            (_ssl_error("WRONG_VERSION_NUMBER"), "does not speak TLS"),
        ],
    )
    def test_what_repeating_cannot_help_is_told_at_once(self, cause: Exception, says: str):
        """Also where the driver wraps it."""
        store, asked = failing(cause)
        with pytest.raises(ConfigurationError, match=says):
            store.get("k")
        assert len(asked) == 1

    def test_an_unknown_host_is_looked_up_again_for_a_second(self, slept: Slept):
        """A name may be missing for a moment only."""
        store, asked = failing(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        with pytest.raises(UnknownHost, match=r"does not exist .*not known"):
            store.get("k")
        assert len(asked) > 1
        assert 1 <= slept.now < 2

    def test_a_failing_name_server_is_an_outage(self, slept: Slept):
        """It does not tell whether the name exists."""
        store, _ = failing(socket.gaierror(socket.EAI_AGAIN, "Temporary failure"))
        with pytest.raises(StoreUnavailable, match="did not answer") as raised:
            store.get("k")
        assert not isinstance(raised.value, UnknownHost)
        assert slept.now > 10


class TestUnknownOutcome:
    """`compare_and_set`, when its answer is lost."""

    def test_our_bytes_in_the_store_mean_true(self):
        """The first attempt succeeded: the result is True and nothing is written again."""
        store = faulty("after")
        assert store.compare_and_set("k", b"ours", None)
        assert calls(store) == ["compare_and_set", "get"]

    def test_an_unchanged_version_means_a_retry(self):
        """The first attempt failed, so it is repeated."""
        store = faulty("before")
        assert store.compare_and_set("k", b"ours", None)
        assert store.get("k").value == b"ours"
        assert calls(store)[:3] == ["compare_and_set", "get", "compare_and_set"]

    def test_the_bytes_of_another_writer_mean_false(self):
        """Another writer won: the result is False and its bytes stay."""
        store = faulty()
        store.set("k", b"old")
        version = store.get("k").version
        store.inner.inner.set("k", b"theirs")
        store.inner.script = ["before"]
        assert not store.compare_and_set("k", b"ours", version)
        assert store.get("k").value == b"theirs"

    def test_our_bytes_replaced_by_another_writer_mean_false(self):
        """Our write succeeded and was replaced: False makes the caller read again."""
        store = faulty()
        store.inner.script = [lambda: store.inner.inner.set("k", b"theirs")]
        assert not store.compare_and_set("k", b"ours", None)
        assert store.get("k").value == b"theirs"

    def test_resolving_the_outcome_is_retried(self):
        """The read and the second attempt may fail, too."""
        store = faulty("after", "before", "after", "before")
        assert store.compare_and_set("k", b"ours", None)
        assert store.get("k").value == b"ours"

    def test_the_same_bytes_are_written_again_for_their_ttl(self):
        """Bytes that were stored before prove nothing: the write is repeated."""
        now = 0.0
        store = Retry(Faulty(DictStore(lambda: now), []), PATIENT)
        store.set("k", b"v", 10)
        store.inner.script = ["ok", "before"]
        assert store.touch("k", 1000)
        now = 500.0
        assert store.get("k").value == b"v"

    @pytest.mark.parametrize("how", ["before", "after"])
    def test_a_repeated_offer_keeps_its_rank(self, how: str):
        """A repeated offer is not refused by its own first attempt, and replaces nothing better."""
        store = faulty(how)
        assert store.offer(offer("k", Rank.SUCCEEDED, "first"), rank_of)
        store.inner.script = [how, how]
        assert not store.offer(offer("k", Rank.SUCCEEDED, "second"), rank_of)
        assert store.get("k").value == b"3first"


class TestIncrement:
    @pytest.mark.parametrize("make", [faulty, native])
    @pytest.mark.parametrize("how", ["before", "after"])
    def test_an_increment_is_never_repeated(self, make: Callable[[str], Retry], how: str):
        """An unknown outcome raises the error: a repetition could count twice."""
        store = make(how)
        with pytest.raises(Broken):
            store.increment("k", 1, None)

    def test_an_increment_is_not_resolved_by_its_bytes(self):
        """Two callers may reach the same number, so the number proves no success."""
        inner = Faulty(DictStore(), ["ok", "before"])
        store = Retry(inner, PATIENT)
        other: Store = inner.inner
        inner.inner.get = lambda key, get=other.get: (get(key), other.set(key, b"1"))[0]
        with pytest.raises(Broken):
            store.increment("k", 1, None)


def test_a_failing_store_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch):
    """With the real clock `StoreUnavailable` is raised within the timeout."""
    monkeypatch.setattr(retry, "time", time)
    options = CoreOptions(retry_timeout=0.2, retry_first_ms=5)
    store = faulty(*["before"] * 1000, options=options)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        store.get("k")
    assert time.monotonic() - began < 5
