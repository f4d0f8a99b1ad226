"""SQLite: many processes and threads on one file; forks, kills and stopped processes."""

import os
import random
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from kvbackends import StoreUnavailable, open_store
from kvbackends.contract import Offer, Outcome, Part, Rank
from kvbackends.stores.sqlite import SQLiteStore
from kvbackends.stores.sqlite.errors import Busy
from kvbackends.testing.forks import fork_in_c
from tests.stores.conftest import Opener, begin, ended, in_processes, open_files, python
from tests.support.chords import offer, part, publisher, rank_of
from tests.support.stalls import TRIES, takes_less
from tests.support.threads import together

PROCESSES = THREADS = 8


def test_concurrent_increments_lose_nothing(store: SQLiteStore):
    """8 processes with 8 threads each: no increment is lost, and none raises a lock error."""

    def count(process: int) -> None:
        together([lambda: [store.increment("n", 1, None) for _ in range(25)]] * THREADS)

    assert in_processes(count, PROCESSES) == [0] * PROCESSES
    assert store.get("n").value == b"%d" % (PROCESSES * THREADS * 25)


def test_concurrent_swaps_lose_nothing(store: SQLiteStore):
    """8 processes with 8 threads each: every `compare_and_set` that returned True counts."""
    store.set("n", b"0")

    def add() -> None:
        done = 0
        while done < 5:
            value, version = store.get("n")
            done += store.compare_and_set("n", b"%d" % (int(value) + 1), version)

    assert in_processes(lambda _: together([add] * THREADS), PROCESSES) == [0] * PROCESSES
    assert store.get("n").value == b"%d" % (PROCESSES * THREADS * 5)


def test_no_success_is_lost(store: SQLiteStore):
    """After 1,000 races of SUCCESS against RETRY between two processes, each key has SUCCESS."""
    ranks = Rank.SUCCEEDED, Rank.UNREADY

    def race(process: int) -> None:
        for i in range(1000):
            store.offer(offer(f"task-{i}", ranks[(process + i) % 2]), rank_of)
            if random.random() < 0.05:
                time.sleep(0.0005)

    assert in_processes(race, 2) == [0, 0]
    assert {store.get(f"task-{i}").value for i in range(1000)} == {b"3"}


def test_each_chord_is_claimed_once(store: SQLiteStore):
    """4 processes deliver the parts of 20 chords twice; each chord has one claim."""
    for chord in range(20):
        store.barrier(f"chord-{chord}", 60).open(b"")
        store.barrier(f"chord-{chord}", 60).expect(publisher(), 8)

    def bring(process: int) -> None:
        chords = [(chord, place) for chord in range(20) for place in range(8)]
        random.Random(process).shuffle(chords)
        for chord, place in chords:
            each = part(place, run=f"{process}-{place}")
            if store.barrier(f"chord-{chord}", 60).arrive(each, b"v").outcome is Outcome.CLAIMED:
                first = store.compare_and_set(f"claimed-{chord}", f"{place}".encode(), None)
                assert first or store.get(f"claimed-{chord}").value == b"%d" % place

    assert in_processes(bring, 4) == [0] * 4
    assert len(list(store.scan("claimed-"))) == 20


def test_confirmed_writes_survive_a_kill(store: SQLiteStore, path: Path):
    """Every write that returned before a `kill -9` is stored."""
    store.ping()
    code = """if True:
        import sys
        from kvbackends import open_store
        from kvbackends.stores import sqlite
        from kvbackends import register
        register(sqlite)
        store = open_store(sys.argv[1])
        for i in range(1_000_000):
            store.set(f"k{i}", b"x" * 2000, 60)
            print(i, flush=True)
    """
    for _ in range(3):
        with python(code, f"sqlite:///{path}") as writer:
            confirmed = [writer.stdout.readline() for _ in range(50)]
            time.sleep(random.random() / 10)
            writer.send_signal(signal.SIGKILL)
            confirmed += [line for line in writer.stdout if line.endswith("\n")]
        assert all(store.get(f"k{int(i)}") for i in confirmed)
        store.set("after", b"the kill")  # the dead process's lock is free
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


class TestFork:
    @pytest.mark.parametrize("fork", [os.fork, fork_in_c], ids=["python", "c"])
    def test_a_childs_writes_survive_the_parents_close(self, store: SQLiteStore, fork):
        """The parent closes its connections while the child writes, and nothing is lost.

        With a connection open across the fork, SQLite would delete the log of the child.
        """
        store.set("parent", b"1")
        (read, write), (written, tell) = os.pipe(), os.pipe()

        def work() -> None:
            store.set("child-1", b"1")
            os.write(tell, b"x")
            os.read(read, 1)
            store.set("child-2", b"2")

        child = begin(work, fork=fork)
        os.read(written, 1)
        store.close()
        os.write(write, b"x")
        assert ended(child) == 0
        assert {*store.get_batch(["parent", "child-1", "child-2"])} == {
            "parent",
            "child-1",
            "child-2",
        }
        for descriptor in (read, write, written, tell):
            os.close(descriptor)

    def test_a_child_does_not_inherit_the_lock(self, store: SQLiteStore):
        """After a fork during a transaction the child neither holds nor releases the lock."""
        inside, child = threading.Event(), []

        def slow_rank(value: bytes) -> Rank:
            inside.set()
            time.sleep(0.3)
            return rank_of(value)

        store.set("k", b"1")
        thread = threading.Thread(
            target=store.offer, args=(Offer("k", b"3", Rank.SUCCEEDED), slow_rank)
        )
        thread.start()
        inside.wait()
        child.append(begin(lambda: store.set("from the child", b"v")))
        thread.join()
        assert ended(child[0]) == 0
        assert store.get("k").value == b"3"
        assert store.get("from the child").value == b"v"

    def test_forks_threads_and_close_leave_no_file_open(self, store: SQLiteStore):
        """The number of open files is the same afterwards."""
        before = open_files()
        for _ in range(5):
            together([lambda: store.set("k", b"v")] * 4)
            store.subscribe().close()
            assert ended(begin(store.ping)) == 0
            store.close()
        assert open_files() == before


class TestStopped:
    """Another process is stopped (SIGSTOP, a frozen container) while it holds the lock."""

    @pytest.fixture
    def holder(self, store: SQLiteStore):
        store.set("k", b"v")

        def stop_inside(value: bytes) -> Rank:
            os.kill(os.getpid(), signal.SIGSTOP)
            return Rank.UNREADY

        child = begin(lambda: store.offer(Offer("k", b"w", Rank.FAILED), stop_inside))
        os.waitpid(child, os.WUNTRACED)
        yield child
        os.kill(child, signal.SIGCONT)
        assert ended(child) == 0
        assert store.get("k").value == b"w"
        store.set("k", b"free again")

    def test_a_write_ends_after_busy_timeout(self, holder: int, open_sqlite: Opener):
        """It raises an error that is transient."""
        other = open_sqlite(busy_timeout=0.2)

        def write() -> None:
            with pytest.raises(Busy, match="lock"):
                other.set("x", b"v")

        assert takes_less(2, write)
        assert Busy in other.transient_errors

    def test_reads_do_not_wait(self, holder: int, open_sqlite: Opener):
        """A read returns while the lock is held."""
        assert open_sqlite(busy_timeout=0.2).get("k").value == b"v"

    def test_retries_end_with_store_unavailable(self, holder: int, path: Path):
        """Behind all layers the write raises `StoreUnavailable` within `retry_timeout`."""
        opened = open_store(f"sqlite:///{path}?busy_timeout=0.1&retry_timeout=0.3")
        with pytest.raises(StoreUnavailable):
            opened.set("x", b"v")
        opened.close()


class Interrupted(BaseException):
    """Raised by a signal handler, like a task's soft time limit."""


# Python reports exceptions in finalisers as warnings; these are not tested here.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_exception_of_a_signal_handler_leaves_no_lock(store: SQLiteStore, open_sqlite: Opener):
    """At any point of an operation it leaves neither a lock nor half of the operation."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    other = open_sqlite(busy_timeout=1)
    before = signal.signal(signal.SIGALRM, interrupt)
    barrier = store.barrier("b", 60)
    barrier.open(b"")
    try:
        for i in range(300):
            each = Part(i, f"t{i}", "d")
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 4e-4))
                for _ in range(20):  # bounded: Python drops what is raised in a finaliser
                    barrier.finish(each, offer(f"k{i}", Rank.SUCCEEDED), rank_of)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Interrupted:
                pass
            other.set("free", b"v")
            assert (store.get(f"k{i}") is None) == (each[:2] not in _parts(other))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _parts(store: SQLiteStore) -> set[tuple[int, str]]:
    return {(place, member) for place, member, _ in store.barrier("b").parts()}


def test_stalls_are_short(store: SQLiteStore):
    """While 4 processes write without pause, no write waits long for the others.

    The bound is generous for busy machines; the benchmarks measure the stalls.
    """

    def write(process: int) -> None:
        longest = 0.0
        end = time.monotonic() + 1
        while (now := time.monotonic()) < end:
            store.offer(offer(f"{process}-{now}", Rank.SUCCEEDED, "x" * 300, 60), rank_of)
            longest = max(longest, time.monotonic() - now)
        assert longest < 0.5, longest

    # The machine itself may stall; an unfair queue would fail at each try.
    assert any(in_processes(write, 4) == [0] * 4 for _ in range(TRIES))


GREEN = {
    "gevent": "import gevent.monkey; gevent.monkey.patch_all(); from gevent import spawn, wait",
    "eventlet": """
import warnings; warnings.simplefilter("ignore")
import eventlet; eventlet.monkey_patch(); from eventlet import spawn
def wait(all): [each.wait() for each in all]
""",
}


@pytest.mark.parametrize("library", GREEN)
def test_green_threads_do_not_block_each_other(path: Path, library: str):
    """200 green threads in each of two processes write, and one waits and is woken."""
    pytest.importorskip(library) if library == "gevent" else None
    code = (
        GREEN[library]
        + """
import sys, time
from kvbackends.stores.sqlite import SQLiteStore, SQLiteOptions
from kvbackends.contract import Offer, Rank
store = SQLiteStore(sys.argv[1], SQLiteOptions())
def write(n):
    for i in range(5):
        store.increment("n", 1, None)
        time.sleep(0.001)
def wait_for_done():
    subscription = store.subscribe()
    subscription.watch(["done"])
    while "done" not in (subscription.wait(10) or ()): pass
    subscription.close()
    print("woken")
waiter = spawn(wait_for_done)
wait([spawn(write, n) for n in range(200)])
store.offer(Offer("done", b"x", Rank.SUCCEEDED), None)
wait([waiter])
"""
    )
    both = [python(code, path) for _ in range(2)]
    assert [each.communicate(timeout=50)[0] for each in both] == ["woken\n"] * 2
    store = open_store(f"sqlite:///{path}")
    assert store.get("n").value == b"2000"
    store.close()
