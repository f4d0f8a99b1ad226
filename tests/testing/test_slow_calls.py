"""The suite on a store a network away: right, and in time, whatever a call takes."""

import threading
import time
from contextlib import closing

import pytest

from kvbackends.stores.memory import MemoryStore
from kvbackends.testing import run
from kvbackends.testing.overlapped import Overlapped
from kvbackends.testing.tools import within

PLUGIN = """
from kvbackends.contract import Adapter, hookimpl
from kvbackends.stores.memory import MemoryStore
from kvbackends.testing import Latency


class SlowMemory(MemoryStore):
    @classmethod
    def from_url(cls, url, options):
        return Latency(super().from_url(url, options), float(url.path))


class EmptyIsAbsent(MemoryStore):
    @classmethod
    def from_url(cls, url, options):
        return Latency(super().from_url(url, options), float(url.path))

    def get(self, key):
        entry = super().get(key)
        return entry if entry and entry.value else None


@hookimpl
def kvbackends_adapters():
    for scheme, store in {"slow": SlowMemory, "slow-broken": EmptyIsAbsent}.items():
        yield Adapter(schemes=(scheme,), store=store, summary="far away", example="slow://x")
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    (tmp_path / "slowly.py").write_text(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return "slowly"


def test_checks_run_side_by_side():
    """A check that passes beside others has passed; one that fails or is skipped runs again."""
    ended = threading.Event()

    def fail():
        raise AssertionError

    checks = {"waits": lambda: ended.wait(30), "fails": fail, "skips": lambda: pytest.skip("why")}
    overlapped = Overlapped(checks | {"ends": ended.set})
    assert [overlapped.passed(name) for name in ("waits", "ends")] == [True, True]
    assert [overlapped.passed(name) for name in ("fails", "skips", "other")] == [False] * 3


def test_check_that_hangs_beside_others():
    """The checks that run alone do not wait for it for ever, and it is run again."""
    ended = threading.Event()
    overlapped = Overlapped({"hangs": lambda: ended.wait(30), "ends": lambda: None})
    overlapped.settle(0.05)
    ended.set()
    assert [overlapped.passed(name) for name in ("hangs", "ends")] == [False, True]


def test_broken_and_slow(plugin):
    """What is wrong is found on a slow store, too; and only that."""
    report = run(["slow-broken://there/0.005"], plugins=[plugin], checks=["methods", "versions"])
    assert report.failing_checks == ["methods.empty_value"], report.problem


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_quick_run_far_away(plugin):
    """Each call takes 30 milliseconds: a quick run takes two and a half minutes at most."""
    began = time.monotonic()
    report = run(["slow://there/0.03"], plugins=[plugin], quick=True)
    assert (report.exit_code, report.failing_checks) == (0, []), report.problem
    assert time.monotonic() - began < 150


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_whole(plugin):
    """Each call takes five milliseconds: the whole suite passes, in two minutes."""
    began = time.monotonic()
    report = run(["slow://there/0.005"], plugins=[plugin])
    assert (report.exit_code, report.failing_checks) == (0, []), report.problem
    assert time.monotonic() - began < 150  # on a busy machine


@pytest.mark.slow
def test_very_slow(plugin):
    """Each call takes a tenth of a second: times to live are as long as they have to be."""
    checks = ["ttl.touch", "ttl.gone_from_every_read", "ranks.ttl_of_the_last_stored"]
    report = run(["slow://there/0.1"], checks=checks, plugins=[plugin])
    assert (report.exit_code, report.failing_checks) == (0, []), report.failed


def test_a_failure_after_the_ttl_proves_nothing():
    """What failed because it took longer than its ttl is tried with a longer one."""
    ttls = []

    def observe(ttl):
        ttls.append(ttl)
        if len(ttls) == 1:
            time.sleep(ttl)
            raise AssertionError("expired meanwhile")
        return "seen"

    with closing(MemoryStore("slow-observer")) as store:
        assert within(store, observe) == ("seen", ttls[1])
    assert ttls[1] > ttls[0]


def test_a_failure_before_the_ttl_counts():
    def observe(_ttl):
        raise AssertionError("absent")

    with closing(MemoryStore("observer")) as store, pytest.raises(AssertionError, match="absent"):
        within(store, observe)
