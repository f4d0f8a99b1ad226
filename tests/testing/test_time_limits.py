"""No store takes the suite's time without end: checks, their process and the run are bounded."""

import time

import pytest

from kvbackends.testing import run, running
from tests.broken_stores import url

HANGING = """
import os, signal, threading, time

from kvbackends.contract import Adapter, hookimpl
from tests.broken_stores.reference import ReferenceStore


class Sleeps(ReferenceStore):
    def set(self, key, value, ttl=None):
        time.sleep(1000)


class Deaf(ReferenceStore):
    def set(self, key, value, ttl=None):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(1000)


class SleepsInThreads(ReferenceStore):
    def increment(self, key, by, ttl):
        time.sleep(1000 if threading.current_thread() is not threading.main_thread() else 0)
        return super().increment(key, by, ttl)


class Dies(ReferenceStore):
    def set(self, key, value, ttl=None):
        os._exit(3)


@hookimpl
def kvbackends_adapters():
    for store in (Sleeps, Deaf, SleepsInThreads, Dies):
        scheme = store.__name__.lower()
        yield Adapter(schemes=(scheme,), store=store, summary="never ends", example="x://x")
"""


@pytest.fixture
def prove(tmp_path, monkeypatch):
    """Runs two checks on a store that does not end, and asserts that the run did."""
    (tmp_path / "hanging.py").write_text(HANGING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(running, "GRACE", 6)

    def prove(scheme, *checks, **more):
        words = ["--store-longest=1"]
        began = time.monotonic()
        report = run([f"{scheme}://x"], checks=checks, plugins=["hanging"], arguments=words, **more)
        assert time.monotonic() - began < 200
        return report

    return prove


def test_check_that_hangs(prove):
    """It fails, and the others are run."""
    report = prove("sleeps", "methods.set_then_get", "methods.absent_key_is_none")
    assert (report.exit_code, report.problem) == (1, "")
    assert report.failing_checks == ["methods.set_then_get"]
    assert {each.message for each in report.failed} == {
        "TimeoutError: the check took more than 1 seconds"
    }
    assert {each.check for each in report.results} > {"methods.set_then_get"}


@pytest.mark.parametrize(
    ("scheme", "check", "why"),
    [
        ("deaf", "methods.set_then_get", "the check did not end in time"),
        ("sleepsinthreads", "threads.no_increment_is_lost", "the check did not end in time"),
        ("dies", "methods.set_then_get", "the process ended with status 3 in this check"),
    ],
)
def test_check_that_cannot_be_ended(prove, scheme, check, why):
    """The process is ended, and the report names the check."""
    report = prove(scheme, check)
    assert (report.exit_code, report.failing_checks) == (1, [check])
    assert why in report.problem
    assert [why in each.message for each in report.failed] == [True]


def test_run_that_is_too_long(prove):
    """So it is when the whole run takes longer than it may."""
    report = prove("sleeps", "methods", longest=30)
    assert report.exit_code
    assert report.failed
    assert "the run did not end in time" in report.problem


def test_contradiction_fails_soon(tmp_path):
    """Where no `compare_and_set` ever succeeds, whatever loops over it fails without delay."""
    report = run(
        [url("broken-no-version-fits", tmp_path)],
        checks=["ranks", "parts", "claims", "counters", "members", "ttl", "threads"],
        plugins=["tests.broken_stores"],
    )
    told = [each for each in report.failed if "contradicts itself" in each.message]
    assert len(told) > 30
    assert max(each.seconds for each in told) < 10
