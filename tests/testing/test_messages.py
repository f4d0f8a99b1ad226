"""What a failure tells: the cause, the adapter's own statement, what a child printed."""

import io

import pytest
from rich.console import Console

from kvbackends.cli.digest import Digest
from kvbackends.cli.subjects import Subject
from kvbackends.cli.terminal import show
from kvbackends.contract import Feature
from kvbackends.testing import Result, checks, run
from kvbackends.testing.causes import likely
from kvbackends.testing.tools import hinted

PLUGIN = """
import json, os, signal

from kvbackends.contract import Adapter, hookimpl
from tests.broken_stores.reference import ReferenceStore

PARENT = os.getpid()


class Mute(ReferenceStore):
    def get_batch(self, keys):
        return json.loads("no JSON")


class DiesInChildren(ReferenceStore):
    def set(self, key, value, ttl=None):
        if os.getpid() != PARENT:
            raise ValueError("the parent's connection")
        super().set(key, value, ttl)


class HangsInChildren(ReferenceStore):
    def set(self, key, value, ttl=None):
        if os.getpid() != PARENT:
            os.kill(os.getpid(), signal.SIGALRM)  # as if its time were over
        super().set(key, value, ttl)


@hookimpl
def kvbackends_adapters():
    for store in (Mute, DiesInChildren, HangsInChildren):
        scheme = store.__name__.lower()
        yield Adapter(schemes=(scheme,), store=store, summary="broken", example="x://x")
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """The failures of each store, by scheme and check, of the native runs."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "telling.py").write_text(PLUGIN)
    urls = [f"{scheme}://x" for scheme in ("diesinchildren", "hangsinchildren")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=":")
        report = run(urls, checks=["processes.fork_after_use"], plugins=["telling"])
        mute = run(["mute://x"], checks=["methods.batch"], plugins=["telling"])
    results = report.failed + mute.failed
    return {(each.url, each.check): each for each in results if each.mode == "native"}


def test_adapters_own_statement(failed):
    """The check's statement, the adapter's, and the one that raised."""
    roles = {each.role: each.statement for each in failed["mute://x", "methods.batch"].where}
    assert roles["at"].startswith("assert store.get_batch(keys)")
    assert roles["adapter"] == 'return json.loads("no JSON")'
    assert roles["raised"].startswith("raise JSONDecodeError")


def test_traceback_of_a_child(failed):
    """The error of a forked child is shown."""
    told = failed["diesinchildren://x", "processes.fork_after_use"]
    assert "ValueError: the parent's connection" in told.printed


def test_child_that_hangs(failed):
    """What a signal means is said."""
    told = failed["hangsinchildren://x", "processes.fork_after_use"]
    assert "ended by signal 14" in told.printed
    assert "PerProcess" in told.likely


STATEMENT = "assert store.compare_and_set(key, b'new', None)"
TOLD = {
    "contradiction": ("ranks.matrix", "StoreError: the store contradicts itself", "expired"),
    "expired": ("ttl.gone_from_every_read", STATEMENT, "expired"),
    "refused": ("versions.same_bytes", STATEMENT, "repeats"),
    "too long": ("methods.delete", "TimeoutError: the check took more than 60 seconds", "hangs"),
    "repeated": (
        "ttl.refused",
        "E   ValueError: x\nThe above exception was the direct cause of:\nE   StoreUnavailable",
        "transient_errors",
    ),
    "crash": ("processes.fork_after_use", "a child was ended by signal 11", "crashed"),
    "lost": ("waiting.odd_keys", "AssertionError: no wait named 'k' within 5 s", "lost"),
}


@pytest.mark.parametrize(("check", "text", "word"), TOLD.values(), ids=TOLD)
def test_likely_cause(check, text, word):
    """Where two operations disagree, a child dies, or a wait ends."""
    assert word in likely(check, text)


def test_no_cause_is_made_up():
    """Most failures speak for themselves."""
    assert likely("methods.batch", f"KeyError: 'x'\n{STATEMENT}") == ""


def test_wait_says_for_what():
    """The key, the time, and the keys that were told instead."""

    class Other:
        def wait(self, timeout):
            return ["another"]

    with pytest.raises(AssertionError, match=r"no wait named 'k' within 0\.01 s .*'another'"):
        hinted(Other(), "k", 0.01)


def test_simplest_area_comes_first():
    """One failing area in full, then the names of what else failed, then what was not asked."""
    names = ["parts.the_last_claims", "versions.only_if_absent", "methods.delete"]
    results = [Result("x://h", name, "native", "native", "failed", "no") for name in names]
    subject = Subject("x://h", "x://h", "a store", Feature.NONE, frozenset())
    screen = Console(file=io.StringIO(), width=100)
    show(screen, Digest(subject, checks(), results), [], 1.0)
    text = screen.file.getvalue()
    places = [text.rindex(word) for word in ("methods.delete\n", "and also", *reversed(names[:2]))]
    assert places == sorted(places)
    assert text.count("proves") == 1
    assert "checks, without SHARED" in text
    assert "no transient_errors are declared" in text
