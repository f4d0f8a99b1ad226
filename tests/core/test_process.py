"""Values of one process, and the doorbell."""

import contextlib
import gc
import os
import resource
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvbackends.contract.process import Doorbell, PerProcess
from kvbackends.stores.memory import MemoryStore
from tests.support.processes import in_child
from tests.support.threads import together


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class TestPerProcess:
    def test_made_once(self):
        """Eight threads that ask at once get one value."""
        made: list[object] = []

        def make() -> object:
            time.sleep(0.01)
            made.append(object())
            return made[-1]

        value = PerProcess(make)
        assert value.peek() is None
        assert len({id(each) for each in together([value] * 8)}) == 1
        assert value.peek() is made[0]

    def test_a_child_makes_its_own(self):
        """A forked child never sees its parent's value, and the parent keeps its own."""
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

    def test_forked_while_making(self):
        """A fork while another thread makes the value leaves the child able to make its own."""
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

    def test_close(self):
        """Closing hands the value to `close` once; the next call makes a new one."""
        closed: list[object] = []
        value = PerProcess(object, close=closed.append)
        value.close()
        first = value()
        value.close()
        value.close()
        assert closed == [first]
        assert value() is not first

    def test_making_fails(self):
        """A value that cannot be made is tried again by the next call."""
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

    def test_forgotten(self):
        """A value that nobody holds any more is not kept for forks."""
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


class TestDoorbell:
    def test_rings_before(self, bell: Doorbell):
        """A ring before the wait ends it; many rings are one."""
        for _ in range(100_000):
            bell.ring()
        assert bell.wait(5)
        assert not bell.wait(0)

    def test_rings_from_another_thread(self, bell: Doorbell):
        """A ring from another thread ends the wait at once."""
        threading.Timer(0.02, bell.ring).start()
        began = time.monotonic()
        assert bell.wait(5)
        assert time.monotonic() - began < 1

    def test_times_out(self, bell: Doorbell):
        """Without a ring the wait ends after its time; a negative time is none."""
        assert not bell.wait(0.01)
        assert not bell.wait(-1)

    def test_files(self, bell: Doorbell):
        """A file that can be read ends the wait, and is not taken for a ring."""
        readable, writable = os.pipe()
        try:
            assert not bell.wait(0.01, readable)
            os.write(writable, b"x")
            assert bell.wait(5, readable)
            assert list(bell.wait(0, readable)) == [readable]
        finally:
            os.close(readable)
            os.close(writable)

    def test_many_descriptors(self):
        """It works where the process has more descriptors open than select(2) can count."""
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

    def test_after_closing(self):
        """A ring after closing writes into nobody's file; closing again is fine."""
        bell = Doorbell()
        bell.close()
        readable, writable = os.pipe()  # takes the descriptors that were closed
        bell.ring()
        bell.close()
        os.write(writable, b"mine")
        assert os.read(readable, 10) == b"mine"
        os.close(readable)
        os.close(writable)

    def test_closing_while_others_ring(self):
        """Closing while four threads ring raises nothing."""
        for _ in range(50):
            bell = Doorbell()
            rings = [lambda bell=bell: [bell.ring() for _ in range(20)]] * 4
            together([*rings, bell.close])

    def test_leaves_nothing_open(self):
        """A thousand doorbells, and ten thousand waits, leave no descriptor open."""
        before = descriptors()
        for _ in range(1_000):
            Doorbell().close()
        bell = Doorbell()
        for _ in range(10_000):
            bell.ring()
            bell.wait(0)
        bell.close()
        assert descriptors() == before


def test_subscriptions_leave_nothing_open():
    """Subscribing and waiting ten thousand times leaves no descriptor and no listener."""
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
