"""`PerProcess`, `delays_forks` and the doorbell."""

import contextlib
import ctypes
import gc
import os
import resource
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvbackends import StoreUnavailable
from kvbackends.contract.deadline import within
from kvbackends.contract.process import MAX_FORK_WAIT, PerProcess, delays_forks
from kvbackends.contract.waking import Doorbell
from kvbackends.stores.memory import MemoryStore
from kvbackends.testing.forks import in_child
from tests.support.handlers import bears_a_handler
from tests.support.threads import together


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class TestPerProcess:
    def test_a_caller_waits_for_another_threads_connecting_until_its_deadline(self):
        """Not until that thread has its connection, or has given up."""
        begun, goes_on = threading.Event(), threading.Event()

        def connect() -> object:
            begun.set()
            goes_on.wait(60)
            return "connected"

        value = PerProcess(connect)
        slow = threading.Thread(target=value)
        slow.start()
        begun.wait(60)
        try:
            with pytest.raises(StoreUnavailable, match=r"another thread has been connecting"):
                within(0.05, value)
        finally:
            goes_on.set()
            slow.join()
        assert within(0.05, value) == "connected"

    def test_a_value_is_made_once(self):
        """Eight threads that call at the same time get the same value."""
        made: list[object] = []

        def make() -> object:
            time.sleep(0.01)
            made.append(object())
            return made[-1]

        value = PerProcess(make)
        assert value.peek() is None
        assert len({id(each) for each in together([value] * 8)}) == 1
        assert value.peek() is made[0]

    def test_a_forked_child_makes_its_own_value(self):
        """`abandon` gets the parent's value in the child; the parent keeps it."""
        abandoned: list[int] = []
        value = PerProcess(os.getpid, abandon=abandoned.append)
        parent = value()

        def child() -> None:
            assert value.peek() is None
            assert abandoned == [parent]
            assert value() == os.getpid() != parent

        assert in_child(child) == 0
        assert value() == parent
        assert abandoned == []

    def test_a_child_forked_in_c_makes_its_own_value(self):
        """No hook of Python's runs there."""
        abandoned: list[int] = []
        value = PerProcess(os.getpid, abandon=abandoned.append)
        parent = value()
        child = ctypes.PyDLL(None).fork()
        if child == 0:
            right = value.peek() is None and value() == os.getpid() and abandoned == [parent]
            os._exit(0 if right and value() == value.peek() else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert value() == value.peek() == parent

    def test_a_fork_while_a_thread_makes_the_value(self):
        """The child can make its own value."""
        making, go_on = threading.Event(), threading.Event()

        def make() -> int:
            if threading.current_thread() is not threading.main_thread():
                making.set()
                go_on.wait(5)
            return os.getpid()

        value = PerProcess(make)
        thread = threading.Thread(target=value)
        thread.start()
        making.wait(5)
        status = in_child(value, 5)
        go_on.set()
        thread.join()
        assert status == 0

    def test_close_is_called_once_for_each_value(self):
        """The next call after `close` makes another value."""
        closed: list[object] = []
        value = PerProcess(object, close=closed.append)
        value.close()
        first = value()
        value.close()
        value.close()
        assert closed == [first]
        assert value() is not first

    def test_a_failed_make_is_repeated_by_the_next_call(self):
        """The exception of `make` reaches the caller and is not remembered."""
        attempts = iter([ValueError("first"), "value"])

        def make() -> str:
            each = next(attempts)
            if isinstance(each, ValueError):
                raise each
            return each

        value = PerProcess(make)
        with pytest.raises(ValueError, match="first"):
            value()
        assert value() == "value"

    def test_the_fork_hooks_do_not_keep_a_value_alive(self):
        """An unreferenced `PerProcess` is garbage-collected."""
        from kvbackends.contract.process import _EVERY

        value = PerProcess(object)
        assert value in _EVERY
        kept = weakref.ref(value)
        del value
        gc.collect()
        assert kept() is None


@pytest.fixture
def bell() -> Iterator[Doorbell]:
    made = Doorbell()
    yield made
    made.close()


PATCHES = {
    "gevent": "from gevent import monkey as m, threadpool as t; m.patch_all(); p = t.ThreadPool(1)",
    "eventlet": "import eventlet; eventlet.monkey_patch(); from eventlet import tpool as p",
}
IN_NATIVE_THREADS = """
from kvbackends.contract import PerProcess
native = getattr(p, "apply", None) or p.execute
closed = []
value, shared = PerProcess(object, close=closed.append), PerProcess(object, per_hub=False)
first = native(value)  # in the only native thread of the pool
assert value() is value() is value.peek() is not first
assert native(value) is first
assert native(shared) is shared()
mine = value()
value.close()
assert closed == [mine]
assert value.peek() is None
assert native(value) is not first
"""


@pytest.mark.parametrize("kind", PATCHES)
def test_each_native_thread_has_a_value_of_its_own_where_threads_are_green(kind: str):
    """Sockets and locks belong to the event loop of one native thread."""
    environment = os.environ | {"EVENTLET_THREADPOOL_SIZE": "1"}
    script = f"{PATCHES[kind]}\n{IN_NATIVE_THREADS}"
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class TestDelaysForks:
    def test_a_fork_waits_for_a_thread_inside(self):
        """And for no longer: the child and the parent can enter afterwards."""
        inside, leave = threading.Event(), threading.Event()

        def work() -> None:
            with delays_forks:
                inside.set()
                leave.wait(MAX_FORK_WAIT / 4)
                left.append(time.monotonic())

        def child() -> None:
            with delays_forks:
                assert left, "the fork did not wait"

        left: list[float] = []
        thread = threading.Thread(target=work)
        thread.start()
        inside.wait()
        assert in_child(child) == 0
        thread.join()
        with delays_forks:
            pass

    def test_a_fork_waits_no_longer_than_its_limit(self):
        """Nor does it wait for its own thread."""
        leave = threading.Event()

        def work() -> None:
            with delays_forks:
                leave.wait()

        thread = threading.Thread(target=work)
        thread.start()
        began = time.monotonic()
        with delays_forks:
            assert in_child(delays_forks.__enter__) == 0
        assert MAX_FORK_WAIT <= time.monotonic() - began < 3 * MAX_FORK_WAIT
        leave.set()
        thread.join()

    def test_a_handler_can_enter(self):
        """Where it interrupts a thread that enters, or a fork's preparation."""

        def enter() -> None:
            with delays_forks:
                pass

        assert bears_a_handler(enter, type(delays_forks).__enter__)

    def test_a_child_forked_in_c_can_enter(self):
        """Another thread may have held the lock then; Python's hooks do not run."""
        delays_forks.prepare_fork()
        try:
            pid = ctypes.PyDLL(None).fork()
            if pid == 0:
                with delays_forks:
                    os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        finally:
            delays_forks.forked_parent()


class TestDoorbell:
    def test_a_ring_before_the_wait_ends_it(self, bell: Doorbell):
        """Many rings end one wait."""
        for _ in range(100_000):
            bell.ring()
        assert bell.wait(5)
        assert not bell.wait(0)

    def test_a_ring_from_another_thread_ends_the_wait(self, bell: Doorbell):
        """The wait ends immediately."""
        threading.Timer(0.02, bell.ring).start()
        began = time.monotonic()
        assert bell.wait(5)
        assert time.monotonic() - began < 1

    def test_a_handler_may_ring_during_a_ring(self):
        """As a signal's handler does that stores a result in the middle of a notification."""
        bell = Doorbell()  # no fixture's, whose end would wait for the lock
        assert bears_a_handler(bell.ring, Doorbell.ring)
        assert bell.wait(0)
        bell.close()

    def test_a_wait_without_a_ring_times_out(self, bell: Doorbell):
        """A negative timeout is zero."""
        assert not bell.wait(0.01)
        assert not bell.wait(-1)

    def test_a_readable_file_ends_the_wait(self, bell: Doorbell):
        """The file is returned, and does not count as a ring."""
        readable, writable = os.pipe()
        try:
            assert not bell.wait(0.01, readable)
            os.write(writable, b"x")
            assert bell.wait(5, readable)
            assert list(bell.wait(0, readable)) == [readable]
        finally:
            os.close(readable)
            os.close(writable)

    def test_descriptors_above_1023_work(self):
        """The doorbell works with descriptors that select(2) does not support."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < 1_200:
            pytest.skip("this host allows too few descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1_200), hard))
        with contextlib.ExitStack() as stack:
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
            for _ in range(1_050):
                stack.callback(os.close, os.open("/dev/null", os.O_RDONLY))
            bell = Doorbell()
            stack.callback(bell.close)
            assert not bell.wait(0.01)
            bell.ring()
            assert bell.wait(5)
            assert not bell.wait(0)

    def test_a_ring_after_close_writes_nothing(self):
        """It does not write into a file that reuses the descriptor; a second `close` is allowed."""
        bell = Doorbell()
        bell.close()
        readable, writable = os.pipe()  # reuses the closed descriptors
        bell.ring()
        bell.close()
        os.write(writable, b"mine")
        assert os.read(readable, 10) == b"mine"
        os.close(readable)
        os.close(writable)

    def test_closing_while_other_threads_ring(self):
        """Neither `close` nor `ring` raises."""
        for _ in range(50):
            bell = Doorbell()
            rings = [lambda bell=bell: [bell.ring() for _ in range(20)]] * 4
            together([*rings, bell.close])

    def test_doorbells_leave_no_descriptor_open(self):
        """The number of descriptors is the same after 1,000 doorbells and 10,000 waits."""
        before = descriptors()
        for _ in range(1_000):
            Doorbell().close()
        bell = Doorbell()
        for _ in range(10_000):
            bell.ring()
            bell.wait(0)
        bell.close()
        assert descriptors() == before


def test_memory_subscriptions_leave_nothing_open():
    """After 100 subscriptions and 10,000 waits there is no new descriptor and no listener."""
    store = MemoryStore("leaves-nothing")
    before = descriptors()
    for _ in range(100):
        subscription = store.subscribe()
        for _ in range(100):
            subscription.watch(["k"])
            subscription.wait(0)
            subscription.unwatch(["k"])
        subscription.close()
    assert descriptors() == before
    assert store._space.listeners == frozenset()
