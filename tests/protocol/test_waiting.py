"""Leader and followers: which thread listens for the waits of a process, and what harms none."""

import logging
import math
import os
import random
import signal
import threading
import time
from contextlib import contextmanager

import pytest

from kvbackends import StoreError, open_store
from kvbackends.contract import Offer, PerProcess, Rank
from kvbackends.contract.options import CoreOptions
from kvbackends.layers.layer import Layer, innermost
from kvbackends.layers.retry import Retry
from kvbackends.protocol import waiting
from kvbackends.protocol.leader import AFTER_ERROR, SHARE, Lead
from kvbackends.protocol.pending import Pending
from kvbackends.protocol.waiting import READING, SAFETY, Waiters

SOON = 5.0
"""Seconds; less than any read that is due while `no_reads` is used."""


class Refusing:
    """Stands in for a store's `get_batch`: refuses while it is set to."""

    def __init__(self, store):
        self.get_batch = store.get_batch
        self.refuses = True
        self.asked = 0

    def __call__(self, keys):
        self.asked += 1
        if self.refuses:
            raise StoreError("not now")
        return self.get_batch(keys)


class Away(Layer):
    """A store that is away at times."""

    is_away = False

    def __init__(self, inner):
        super().__init__(inner)
        self.transient_errors = (ConnectionError,)

    def get(self, key):
        if self.is_away:
            raise ConnectionError
        return super().get(key)


class Telling:
    """A subscription that tells what was stored when it was asked, as messages would."""

    def __init__(self, inner, read):
        self.inner, self.read = inner, read
        self.watch, self.unwatch = inner.watch, inner.unwatch
        self.wake = inner.wake
        self.listeners = []
        self.inside = 0
        self.closed = 0

    def close(self):
        assert not self.inside, "closed while it is used"
        self.closed += 1
        self.inner.close()

    def wait(self, timeout):
        self.inside += 1
        assert self.inside == 1, "two threads at a time"
        self.listeners.append(threading.get_ident())
        try:
            return {key: self.read(key).value for key in self.inner.wait(timeout)}
        finally:
            self.inside -= 1


@pytest.fixture(autouse=True)
def _worldly():
    """Not here: time and threads are the real ones."""


@pytest.fixture
def store():
    return open_store(f"memory://waiting-{random.random()}")


@pytest.fixture
def told(store, monkeypatch):
    """The subscriptions that were opened; they tell values."""
    opened, subscribe, read = [], store.subscribe, store.get

    def telling():
        opened.append(Telling(subscribe(), read))
        return opened[-1]

    monkeypatch.setattr(store, "subscribe", telling)
    return opened


@pytest.fixture
def reads(store, monkeypatch):
    """The keys that were read."""
    asked, get, get_batch = [], store.get, store.get_batch
    monkeypatch.setattr(store, "get_batch", lambda keys: asked.extend(keys) or get_batch(keys))
    monkeypatch.setattr(store, "get", lambda key: asked.append(key) or get(key))
    return asked


@pytest.fixture
def no_reads(monkeypatch):
    """After the first read of a wait nothing is read again by itself."""
    monkeypatch.setattr(waiting, "SAFETY", (60, 60, 1))


@pytest.fixture
def waiters(store):
    made = Waiters(store, lambda value: value[:1] in b"23", lambda value: value[:1] == b"3")
    yield made
    made.close()


def put(store, key, value=b"3 success"):
    store.offer(Offer(key, value, Rank(int(value[:1]))), lambda old: Rank(int(old[:1])))


def soon(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def leader_of(waiters):
    """The wait that listens now, or None."""
    lead = waiters._lead
    return lead.leader.get(0) if lead.back_by < math.inf else None


def listens(waiters):
    """Whether some waiter listens; then nothing is read any more without a notification."""
    soon(lambda: leader_of(waiters))
    time.sleep(0.05)
    return True


def when_listening(waiters, key, do, *args):
    """Do something when the wait for `key` listens itself."""
    soon(lambda: (leader := leader_of(waiters)) and key in leader.keys)
    do(*args)


@contextmanager
def running(work, *args):
    """`work` in another thread; what it answers is in the list when that has ended."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(work(*args)))
    thread.start()
    yield answers
    thread.join(20)
    assert not thread.is_alive()


def waited(waiters, key, timeout=10):
    """How long it took, and what there was."""
    began = time.monotonic()
    with waiters.wait_for([key]) as wait:
        found = wait.take(timeout)
    return time.monotonic() - began, found


def test_an_outage_is_logged_once_and_the_wait_goes_on(store, caplog, monkeypatch):
    """One warning with its traceback for each outage, however often the store is asked in it."""
    refusing = Refusing(store)
    monkeypatch.setattr(store, "get_batch", refusing)
    waiters = Waiters(store, lambda _: True)
    with caplog.at_level(logging.WARNING):
        for outage in (1, 2):
            refusing.refuses, asked = True, refusing.asked
            # Of one key alone no batch is read.
            keys = [f"key-{outage}", "never"]
            with waiters.wait_for(keys) as wait, running(wait.take, 10) as answers:
                while refusing.asked < asked + 3:
                    time.sleep(AFTER_ERROR / 5)
                assert not answers
                store.set(f"key-{outage}", b"value")
                refusing.refuses = False
            assert answers == [[(f"key-{outage}", b"value")]]
            warnings = [each for each in caplog.records if "trying again" in each.message]
            assert len(warnings) == outage
            assert all(each.exc_info for each in warnings)
    waiters.close()


def test_a_lost_subscription_is_replaced_in_silence(store, caplog, monkeypatch):
    """All keys are read at once, which tells whether the store is away."""
    subscribe, lost = store.subscribe, []

    def losing():
        subscription = subscribe()
        wait = subscription.wait

        def lose_first(timeout):
            if not lost:
                lost.append(store.set("key", b"value"))
                raise ConnectionError
            return wait(timeout)

        monkeypatch.setattr(subscription, "wait", lose_first)
        return subscription

    monkeypatch.setattr(store, "subscribe", losing)
    monkeypatch.setattr(store, "transient_errors", (ConnectionError,))
    waiters = Waiters(store, lambda _: True)
    with caplog.at_level(logging.INFO), waiters.wait_for(["key", "never"]) as wait:
        assert wait.take(10) == [("key", b"value")]
    assert (len(lost), caplog.records) == (1, [])
    waiters.close()


class TestTold:
    def test_a_success_is_not_read(self, store, told, reads, no_reads, waiters):
        with running(waited, waiters, "key") as answers:
            assert listens(waiters)
            before = list(reads)
            put(store, "key")
        assert answers[0][1] == [("key", b"3 success")]
        assert reads == before == ["key"]

    def test_a_success_is_not_read_for_several_waiters(self, store, told, reads, no_reads, waiters):
        with running(waited, waiters, "a") as a, running(waited, waiters, "b") as b:
            soon(lambda: {"a", "b"} <= set(reads))
            before = list(reads)
            put(store, "a")
            put(store, "b")
        assert (a[0][1], b[0][1]) == ([("a", b"3 success")], [("b", b"3 success")])
        assert reads == before

    def test_a_failure_is_read(self, store, told, reads, no_reads, waiters):
        """A retry may have replaced it by now."""
        with running(waited, waiters, "key") as answers:
            assert listens(waiters)
            put(store, "key", b"1 started")
            put(store, "key", b"2 failure")
        assert answers[0][1] == [("key", b"2 failure")]
        assert len(reads) >= 2


class TestLeader:
    def test_a_sole_waiter_listens_itself(self, store, told, no_reads, waiters):
        for number in range(20):
            key = f"key-{number}"
            with running(when_listening, waiters, key, put, store, key):
                took, found = waited(waiters, key)
            assert found
            assert took < SOON
        assert len(told) == 1
        assert told[0].listeners.count(threading.get_ident()) >= 20

    def test_a_second_wait_is_served_beside_the_first(self, store, told, no_reads, waiters):
        """The first leads on, and listens for both."""
        with running(waited, waiters, "first") as first:
            assert listens(waiters)
            with running(waited, waiters, "second") as second:
                time.sleep(0.05)
                put(store, "second")
            put(store, "first")
        assert second[0][1]
        assert second[0][0] < SOON
        assert first[0][1]
        assert len(told) == 1

    def test_a_wait_with_a_callback_is_served_beside_a_leader(self, store, told, no_reads, waiters):
        """A wait with `notify`, as asyncio's, does not listen, and is served at once."""
        news = threading.Event()
        with running(waited, waiters, "first") as first:
            assert listens(waiters)
            with waiters.wait_for(["second"], news.set) as second:
                put(store, "second")
                assert news.wait(SOON)
                assert second.take(0) == [("second", b"3 success")]
            put(store, "first")
        assert first[0][1]

    def test_a_waiter_between_two_calls_does_not_lead(self, store, told, no_reads, waiters):
        """A waiter that does something else for long does not keep the subscription."""
        with waiters.wait_for(["slow", "never"]) as slow:
            put(store, "slow")
            assert slow.take(SOON)
            with running(waited, waiters, "quick") as quick:
                time.sleep(0.05)
                put(store, "quick")
        assert quick[0][1]
        assert quick[0][0] < SOON

    def test_a_timeout_is_kept(self, store, told, no_reads, waiters):
        for timeout in (0.001, 0.01, 0.1, 0.3):
            took, found = waited(waiters, "never", timeout)
            assert not found
            assert timeout <= took < timeout + SOON

    def test_a_timeout_is_kept_where_the_store_goes_away_after_a_hint(self, store):
        """The leader reads itself; the store's own retries, of 30 s, are not waited for."""
        away = Away(innermost(store))
        waiters = Waiters(Retry(away, CoreOptions()), lambda value: value[:1] == b"3")
        with running(waited, waiters, "key", 1) as answers:
            assert listens(waiters)
            away.is_away = True
            put(store, "key")
        assert answers[0][1] == []
        assert answers[0][0] < SOON
        away.is_away = False
        assert waited(waiters, "key")[1]
        waiters.close()

    def test_the_next_wait_after_an_exception_is_served_at_once(
        self, store, told, no_reads, waiters
    ):
        """A soft time limit interrupts the leader; its subscription is not trusted any more."""

        class Limit(Exception):
            pass

        def strike(*_):
            raise Limit

        def a_little_later():
            time.sleep(random.uniform(0.001, 0.05))
            os.kill(os.getpid(), signal.SIGALRM)

        before = signal.signal(signal.SIGALRM, strike)
        try:
            for number in range(10):
                never = f"never-{number}"
                with running(when_listening, waiters, never, a_little_later), pytest.raises(Limit):
                    waited(waiters, never)
                with running(waited, waiters, f"key-{number}") as answers:
                    time.sleep(0.02)
                    put(store, f"key-{number}")
                assert answers[0][1]
                assert answers[0][0] < SOON
        finally:
            signal.signal(signal.SIGALRM, before)

    def test_a_signal_handler_may_wait(self, store, told, no_reads, waiters):
        """The leader, in the same thread, cannot go on meanwhile."""
        inner = []

        def handle(*_):
            threading.Timer(0.1, put, [store, "inner"]).start()
            inner.append(waited(waiters, "inner"))
            threading.Timer(0.1, put, [store, "outer"]).start()

        before = signal.signal(signal.SIGALRM, handle)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            took, found = waited(waiters, "outer")
        finally:
            signal.signal(signal.SIGALRM, before)
        assert found
        assert inner[0][1]
        assert took < 9

    def test_a_child_forked_while_a_leader_listens_waits_itself(
        self, store, told, no_reads, waiters
    ):
        per_process = PerProcess(lambda: waiters, abandon=Waiters.abandon)
        with running(waited, per_process(), "parent") as answers:
            assert listens(waiters)
            inherited = leader_of(waiters)
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                began = time.monotonic()
                right = inherited.take(0.1) == [] and time.monotonic() - began < 5
                own = Waiters(store, lambda _: True, lambda _: True)
                threading.Timer(0.1, put, [store, "child"]).start()
                right = right and bool(waited(own, "child")[1])
                os._exit(0 if right else 1)
            assert os.waitpid(child, 0)[1] == 0
            put(store, "parent")
        assert answers[0][1]
        assert len(told) == 1

    def test_a_leader_held_up_by_a_handler_is_replaced(self, store, told, no_reads, waiters):
        """The others are served meanwhile, and its subscription is closed when it comes back."""
        served = []

        def handle(*_):
            with running(waited, waiters, "other") as answers:
                time.sleep(0.05)
                put(store, "other")
            served.extend(answers)
            threading.Timer(0.1, put, [store, "own"]).start()

        before = signal.signal(signal.SIGALRM, handle)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            found = waited(waiters, "own")[1]
        finally:
            signal.signal(signal.SIGALRM, before)
        assert found
        assert served[0][1]
        assert served[0][0] < SOON
        waiters.close()
        assert len(told) == 2
        soon(lambda: [each.closed for each in told] == [1, 1])

    def test_a_replaced_leader_closes_its_subscription(self, store, told, waiters):
        with running(waited, waiters, "key") as answers:
            assert listens(waiters)
            waiters._replaced(waiters._lead)
            soon(lambda: len(told) == 2)
            put(store, "key")
        assert answers[0][1]
        assert [each.closed for each in told] == [1, 0]

    def test_the_next_leader_closes_what_an_exception_left(self, store, told, waiters, monkeypatch):
        class Limit(BaseException):
            pass

        def struck(*_):
            raise Limit

        with monkeypatch.context() as patched:
            patched.setattr(Telling, "wait", struck)
            with pytest.raises(Limit):
                waited(waiters, "never")
        assert [each.closed for each in told] == [0]
        put(store, "key")
        assert waited(waiters, "key")[1]
        assert [each.closed for each in told] == [1, 0]

    def test_a_wait_that_begins_just_before_the_subscription_is_seen(
        self, store, no_reads, waiters, monkeypatch
    ):
        """It finds nothing to wake, and the leader has just looked for new waits."""
        put(store, "second")
        news, second, subscribe = threading.Event(), [], Lead._subscribe

        def late(lead):
            if not second:
                second.append(waiters.wait_for(["second"], news.set))
            subscribe(lead)

        monkeypatch.setattr(Lead, "_subscribe", late)
        with waiters.wait_for(["first"], lambda: None):
            assert news.wait(SOON)
        second[0].close()


class Picky(Layer):
    """Refuses one record, as a layer of another key would."""

    def get(self, key):
        entry = super().get(key)
        if entry and entry.value.endswith(b"broken"):
            raise self.refusal
        return entry

    def around_get_batch(self, operation, keys):
        return {key: self.get(key).value for key in operation(keys)}


@pytest.mark.parametrize("refusal", [StoreError("other key"), ValueError("flipped bit")])
class TestBrokenRecords:
    def test_a_record_that_a_layer_refuses_ends_its_own_wait_only(self, store, refusal):
        picky = Picky(store)
        picky.refusal = refusal
        waiters = Waiters(picky, lambda _: True)
        with waiters.wait_for(["a"]) as wait, running(wait.take, 10) as a:
            with waiters.wait_for(["b"]) as broken:
                put(store, "b", b"3 broken")
                with pytest.raises(type(refusal), match=str(refusal)):
                    broken.take(SOON)
            assert not a
            put(store, "a")
        assert a == [[("a", b"3 success")]]
        waiters.close()

    def test_it_fails_a_wait_with_a_callback(self, store, refusal):
        picky = Picky(store)
        picky.refusal = refusal
        waiters, news = Waiters(picky, lambda _: True), threading.Event()
        with waiters.wait_for(["b"], news.set) as broken, waiters.wait_for(["a"]) as wait:
            put(store, "b", b"3 broken")
            assert news.wait(SOON)
            with pytest.raises(type(refusal), match=str(refusal)):
                broken.take(0)
            put(store, "a")
            assert wait.take(SOON) == [("a", b"3 success")]
        waiters.close()


@pytest.mark.parametrize(("pace", "most"), [(SAFETY, 2), (READING, 20)])
def test_idle_waits_share_reads_and_none_is_read_less_often(pace, most):
    """Reads a second of 500 waits while nothing happens, on a clock that is made up."""
    lead, now, latest, count = Lead(None, {}), 0.0, {}, 0
    lead._adopted()
    while now < 60:
        if len(latest) < 500:
            lead.opened.append(Pending([str(len(latest))], pace, None))
            lead._adopted()
        now = max(now + 0.01, 0 if len(latest) < 500 else lead._due[0][0])
        for key in (read := lead._due_keys(now)):
            assert now - latest.get(key, now) <= pace[1] * 1.1 + 0.02
            latest[key] = now
        count += bool(read) and now > 30
    assert len(latest) == 500
    assert count <= most * 30


def test_slow_reads_make_pauses_longer():
    lead, now = Lead(None, {}), 0.0
    lead._adopted()
    lead.opened.append(Pending(["key"], READING, None))
    lead._adopted()
    lead._spent = 0.05
    for _ in range(100):
        now = lead._due[0][0]
        lead._due_keys(now)
    assert lead._due[0][0] - now == pytest.approx(SHARE * 0.05, rel=0.1)


def test_processes_that_lost_a_server_subscribe_again_at_different_times(monkeypatch):
    lead, pauses = Lead(None, {}), []
    monkeypatch.setattr(lead._woken, "wait", pauses.append)
    for _ in range(100):
        lead._rest(math.inf)
    assert AFTER_ERROR / 2 <= min(pauses) < 0.8 * AFTER_ERROR
    assert 1.2 * AFTER_ERROR < max(pauses) <= 1.5 * AFTER_ERROR


def test_nobody_misses_anything(store, told, waiters):
    """Many threads with short timeouts, on keys that are stored at any moment."""
    until, missed, served = time.monotonic() + 4, [], []
    keys = iter(range(10**9))

    def wait():
        while time.monotonic() < until:
            time.sleep(random.choice([0, 0, random.uniform(0, 0.05)]))
            key = f"key-{next(keys)}"
            timer = threading.Timer(random.uniform(0, 0.02), put, [store, key])
            timer.start()
            if random.random() < 0.3:
                waited(waiters, key, random.uniform(0, 0.02))
                continue
            took, found = waited(waiters, key, 5)
            served.append(took)
            if not found:
                missed.append(key)

    threads = [threading.Thread(target=wait) for _ in range(random.choice([1, 2, 3, 8]))]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert not any(each.is_alive() for each in threads)
    assert not missed
    assert len(served) > 20
    assert max(served) < SOON
