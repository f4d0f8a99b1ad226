"""The thread that serves the waits of a process, and who listens instead of it."""

import logging
import os
import random
import signal
import threading
import time
from contextlib import contextmanager
from unittest import mock

import pytest

from kvbackends import StoreError, open_store
from kvbackends.contract import Offer, PerProcess, Rank
from kvbackends.contract.options import CoreOptions
from kvbackends.layers.layer import Layer, innermost
from kvbackends.layers.retry import Retry
from kvbackends.protocol import wait, waiting
from kvbackends.protocol.owner import AFTER_ERROR, Owner
from kvbackends.protocol.wait import Pace
from kvbackends.protocol.waiting import Hub

SOON = 5.0
"""Seconds; less than any read that is due while `no_reads` is used."""


class Refusing:
    """Stands in for a store's `get_batch`: refuses as long as it is told to."""

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
        self.wake, self.close = inner.wake, inner.close
        self.listeners = []
        self.inside = 0

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
    """The keys that were read one by one."""
    asked, get = [], store.get
    monkeypatch.setattr(store, "get", lambda key: asked.append(key) or get(key))
    return asked


@pytest.fixture
def no_reads(monkeypatch):
    """After the first read of a wait nothing is read again by itself."""
    monkeypatch.setattr(waiting, "SAFETY", Pace(60, 60, 1))


@pytest.fixture
def hub(store):
    made = Hub(store, lambda value: value[:1] in b"23", lambda value: value[:1] == b"3")
    yield made
    made.close()


def put(store, key, value=b"3 success"):
    store.offer(Offer(key, value, Rank(int(value[:1]))), lambda old: Rank(int(old[:1])))


def soon(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def is_lent(hub):
    """Whether who waits listens itself, and nobody else does anything."""
    soon(lambda: hub._owner and hub._owner.borrower and hub._owner.borrower.loan)
    time.sleep(0.05)
    return True


def when_lent(hub, key, do, *args):
    """Do something when who waits for `key` is about to listen itself."""

    def is_lent():
        borrower = hub._owner and hub._owner.borrower
        return borrower and borrower.loan and key in borrower.keys

    soon(is_lent)
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


def waited(hub, key, timeout=10):
    """How long it took, and what there was."""
    began = time.monotonic()
    with hub.wait_for([key]) as wait:
        found = wait.take(timeout)
    return time.monotonic() - began, found


def test_an_outage_is_logged_once_and_the_wait_goes_on(store, caplog, monkeypatch):
    """One warning with its traceback for each outage, however often the store is asked in it."""
    refusing = Refusing(store)
    monkeypatch.setattr(store, "get_batch", refusing)
    hub = Hub(store, lambda _: True)
    with caplog.at_level(logging.WARNING):
        for outage in (1, 2):
            refusing.refuses, asked = True, refusing.asked
            # Of one key alone no batch is read.
            with hub.wait_for([f"key-{outage}", "never"]) as wait:
                while refusing.asked < asked + 3:
                    time.sleep(AFTER_ERROR / 5)
                assert not wait.take(0)
                store.set(f"key-{outage}", b"value")
                refusing.refuses = False
                assert wait.take(10) == [(f"key-{outage}", b"value")]
            warnings = [each for each in caplog.records if "trying again" in each.message]
            assert len(warnings) == outage
            assert all(each.exc_info for each in warnings)
    hub.close()


class TestTold:
    def test_a_success_is_not_read(self, store, told, reads, no_reads, hub):
        with running(waited, hub, "key") as answers:
            assert is_lent(hub)
            before = list(reads)
            put(store, "key")
        assert answers[0][1] == [("key", b"3 success")]
        assert reads == before == ["key"]

    def test_a_success_is_not_read_for_several_who_wait(self, store, told, reads, no_reads, hub):
        with running(waited, hub, "a") as a, running(waited, hub, "b") as b:
            soon(lambda: {"a", "b"} <= set(reads))
            before = list(reads)
            put(store, "a")
            put(store, "b")
        assert (a[0][1], b[0][1]) == ([("a", b"3 success")], [("b", b"3 success")])
        assert reads == before

    def test_a_failure_is_read(self, store, told, reads, no_reads, hub):
        """A retry may have replaced it by now."""
        with running(waited, hub, "key") as answers:
            assert is_lent(hub)
            put(store, "key", b"1 started")
            put(store, "key", b"2 failure")
        assert answers[0][1] == [("key", b"2 failure")]
        assert len(reads) >= 2


class TestWhoListens:
    def test_who_waits_alone_listens_itself(self, store, told, no_reads, hub):
        for number in range(20):
            key = f"key-{number}"
            with running(when_lent, hub, key, put, store, key):
                took, found = waited(hub, key)
            assert found
            assert took < SOON
        assert len(told) == 1
        assert told[0].listeners.count(threading.get_ident()) >= 20

    def test_a_second_wait_is_served_beside_the_first(self, store, told, no_reads, hub):
        """The owner takes the subscription back, and the first waits on."""
        with running(waited, hub, "first") as first:
            assert is_lent(hub)
            with running(waited, hub, "second") as second:
                time.sleep(0.05)
                put(store, "second")
            put(store, "first")
        assert second[0][1]
        assert second[0][0] < SOON
        assert first[0][1]
        assert len(told) == 1

    def test_who_called_back_is_awaited_beside_who_sleeps(self, store, told, no_reads, hub):
        """A wait with `notify`, as asyncio's, does not listen, and is served at once."""
        news = threading.Event()
        with running(waited, hub, "first") as first:
            assert is_lent(hub)
            with hub.wait_for(["second"], news.set) as second:
                put(store, "second")
                assert news.wait(SOON)
                assert second.take(0) == [("second", b"3 success")]
            put(store, "first")
        assert first[0][1]

    def test_between_two_looks_nobody_is_starved(self, store, told, no_reads, hub):
        """Who does something else for long does not keep the subscription."""
        with hub.wait_for(["slow", "never"]) as slow:
            put(store, "slow")
            assert slow.take(SOON)
            with running(waited, hub, "quick") as quick:
                time.sleep(0.05)
                put(store, "quick")
        assert quick[0][1]
        assert quick[0][0] < SOON

    def test_a_timeout_is_kept(self, store, told, no_reads, hub):
        for timeout in (0.001, 0.01, 0.1, 0.3):
            took, found = waited(hub, "never", timeout)
            assert not found
            assert timeout <= took < timeout + SOON

    def test_a_timeout_is_kept_where_the_store_goes_away_after_a_hint(self, store):
        """Who listens reads itself; the store's own retries, of 30 s, are not waited for."""
        away = Away(innermost(store))
        hub = Hub(Retry(away, CoreOptions()), lambda value: value[:1] == b"3")
        with running(waited, hub, "key", 1) as answers:
            assert is_lent(hub)
            away.is_away = True
            put(store, "key")
        assert answers[0][1] == []
        assert answers[0][0] < SOON
        away.is_away = False
        assert waited(hub, "key")[1]
        hub.close()

    def test_the_next_wait_after_an_exception_is_served_at_once(self, store, told, no_reads, hub):
        """A soft time limit strikes who listens; its subscription is not trusted any more."""

        class Limit(Exception):
            pass

        def strike(*_):
            raise Limit

        def a_little_later():
            # Not before it listens: Python's own events do not survive it at any moment.
            time.sleep(random.uniform(0.001, 0.05))
            os.kill(os.getpid(), signal.SIGALRM)

        before = signal.signal(signal.SIGALRM, strike)
        try:
            for number in range(10):
                never = f"never-{number}"
                with running(when_lent, hub, never, a_little_later), pytest.raises(Limit):
                    waited(hub, never)
                with running(waited, hub, f"key-{number}") as answers:
                    time.sleep(0.02)
                    put(store, f"key-{number}")
                assert answers[0][1]
                assert answers[0][0] < SOON
        finally:
            signal.signal(signal.SIGALRM, before)

    def test_a_signal_handler_may_wait(self, store, told, no_reads, hub):
        """The thread that listens cannot give the subscription back meanwhile."""
        inner = []

        def handle(*_):
            threading.Timer(0.1, put, [store, "inner"]).start()
            inner.append(waited(hub, "inner"))
            threading.Timer(0.1, put, [store, "outer"]).start()

        before = signal.signal(signal.SIGALRM, handle)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            took, found = waited(hub, "outer")
        finally:
            signal.signal(signal.SIGALRM, before)
        assert found
        assert inner[0][1]
        assert took < 9

    def test_a_child_forked_while_somebody_listens_waits_itself(self, store, told, no_reads, hub):
        hubs = PerProcess(lambda: hub, abandon=Hub.abandon)
        with running(waited, hubs(), "parent") as answers:
            assert is_lent(hub)
            inherited = hub._owner.borrower
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                began = time.monotonic()
                right = inherited.take(0.1) == [] and time.monotonic() - began < 5
                own = Hub(store, lambda _: True, lambda _: True)
                threading.Timer(0.1, put, [store, "child"]).start()
                right = right and bool(waited(own, "child")[1])
                os._exit(0 if right else 1)
            assert os.waitpid(child, 0)[1] == 0
            put(store, "parent")
        assert answers[0][1]
        assert len(told) == 1

    def test_who_is_late_by_a_moment_closes_what_it_listened_with(self, monkeypatch):
        """It comes back just when nobody waits for that any more."""
        monkeypatch.setattr(wait, "RETURN", 0.01)
        listens, slow = threading.Event(), threading.Event()
        subscription = mock.Mock(wait=lambda _: listens.set() or {"key": b"3"})
        loan = wait.Loan(subscription, lambda *_: slow.wait() and (), (), lambda: None)
        with running(loan.listen, ["key"], 10):
            assert listens.wait(SOON)
            lock = loan._in_use = mock.Mock(wraps=loan._in_use)

            def late(*args, **options):
                got = lock._mock_wraps.acquire(*args, **options)
                if "timeout" in options:
                    slow.set()
                    soon(lambda: not lock._mock_wraps.locked())
                    time.sleep(0.05)
                return got

            lock.acquire.side_effect = late
            assert not loan.end()
        subscription.close.assert_called_once_with()

    def test_who_comes_just_before_there_is_a_subscription_is_seen(
        self, store, no_reads, hub, monkeypatch
    ):
        """It finds nothing to wake, and the owner has just looked who has come."""
        put(store, "second")
        news, second, subscribe = threading.Event(), [], Owner._subscribe

        def late(owner):
            if not second:
                second.append(hub.wait_for(["second"], news.set))
            subscribe(owner)

        monkeypatch.setattr(Owner, "_subscribe", late)
        with hub.wait_for(["first"], lambda: None):
            assert news.wait(SOON)
        second[0].close()


def test_nobody_misses_anything(store, told, hub):
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
                waited(hub, key, random.uniform(0, 0.02))
                continue
            took, found = waited(hub, key, 5)
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
