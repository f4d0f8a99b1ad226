"""The suite as pytest runs it: deviations, what is lacking, wrong URLs and wrong names."""

from functools import partial

import pytest

from kvbackends import ConfigurationError
from kvbackends.testing import run

pytest_plugins = ["pytester"]


@pytest.fixture
def run_suite(pytester):
    """Runs pytest with the suite's plugin."""
    return partial(pytester.runpytest, "-p", "kvbackends.testing.plugin")


DEVIATING = """
import pytest

from kvbackends.testing import Deviation, StoreSuite
from tests import broken_stores


class TestDeviating(StoreSuite):
    url = "{url}"
    deviations = (
        Deviation("ranks.matrix[{case}]", {error}, "Ranks are compared as text."),
    )
"""

OUTCOMES = {
    # Of nine cases this store gets three wrong.
    "as it said": ("broken-rank-as-text", "native-1-3", "AssertionError", (15, 1, 2)),
    "in another way": ("broken-rank-as-text", "native-1-3", "KeyError", (15, 0, 3)),
    "not at all": ("reference", "native-1-3", "AssertionError", (17, 0, 1)),
    "both ways": ("reference", "native", "AssertionError", (9, 0, 9)),
}


@pytest.mark.parametrize(("scheme", "case", "error", "outcomes"), OUTCOMES.values(), ids=OUTCOMES)
def test_deviation(pytester, run_suite, scheme, case, error, outcomes):
    """A check that was declared to fail has to fail, and in that way."""
    pytester.makepyfile(DEVIATING.format(url=f"{scheme}://deviating", case=case, error=error))
    done = run_suite("--store-check=ranks.matrix", "-rf")
    counted = done.parseoutcomes()
    assert tuple(counted.get(word, 0) for word in ("passed", "xfailed", "failed")) == outcomes
    assert done.ret == 1
    if scheme == "reference":
        done.stdout.fnmatch_lines("*XPASS(strict)* Ranks are compared as text.")


def test_deviation_alone(pytester):
    """A store that fails as it was declared to, and in nothing else, passes; without the plugin."""
    text = DEVIATING.format(url="broken-empty-is-absent://x", case="", error="AssertionError")
    pytester.makepyfile(text.replace("ranks.matrix[]", "methods.empty_value"))
    done = pytester.runpytest("-k", "methods_empty_value")
    assert (done.ret, done.parseoutcomes()["xfailed"]) == (0, 2)


LACKING = """
from kvbackends.testing import StoreSuite


class TestLacking(StoreSuite):
    url = "memory://lacking"
"""


def test_requires_and_lacking(pytester, run_suite):
    """Checks of a feature that the store lacks are skipped; those of the fallback run."""
    pytester.makepyfile(LACKING)
    some = [f"--store-check={name}" for name in ("listing", "processes.processes_share")]
    done = run_suite("-v", "-rs", *some)
    assert done.ret == 0
    done.stdout.fnmatch_lines_random(
        [
            "*test_listing_lists_a_prefix?native? PASSED*",
            "*test_listing_lists_a_prefix?derived? SKIPPED*",
            "*test_listing_refused_where_it_is_lacking?native? SKIPPED*",
            "*test_listing_refused_where_it_is_lacking?derived? PASSED*",
            "*test_processes_processes_share?native? SKIPPED*",
            "*lacking: without SHARED*",
            "*lacking: with LISTING*",
        ]
    )


OWN_OPTIONS = """
def pytest_addoption(parser):
    for name in ("url", "quick", "full", "check", "longest"):
        parser.addoption(f"--store-{name}", default="its own")
"""
OWN_TEST = """
def test_own(request):
    assert request.config.getoption("--store-url") == "shop"
    assert request.config.getoption("--store-longest") == "its own"
    assert not request.config.pluginmanager.has_plugin("kvbackends.testing.plugin")
"""


def test_options_of_a_project(pytester):
    """A project may have options of the same names: the plugin is loaded only on request."""
    pytester.makeconftest(OWN_OPTIONS)
    pytester.makepyfile(LACKING + OWN_TEST)
    done = pytester.runpytest("--store-url=shop", "-k", "test_own or methods_set_replaces")
    assert (done.ret, done.parseoutcomes()["passed"]) == (0, 3)


def test_run_without_the_plugin(pytester):
    """It says what is missing, once."""
    done = pytester.runpytest("--pyargs", "kvbackends.testing")
    assert (done.ret, done.parseoutcomes()) == (2, {"errors": 1})
    done.stdout.fnmatch_lines("*no store: give -p kvbackends.testing.plugin --store-url URL*")


WRONG = """
from kvbackends.testing import StoreSuite


class TestWrong(StoreSuite):
    url = "{url}"
"""


@pytest.mark.parametrize("url", ["nosuch://x", "memory://?nosuch=1", "sqlite:///no/such/dir/r.db"])
def test_wrong_url_of_a_suite(pytester, run_suite, url):
    """One error, and all other checks say where it is."""
    pytester.makepyfile(WRONG.format(url=url))
    done = run_suite("--store-check=versions", "-rs")
    assert done.ret == 1
    assert done.parseoutcomes()["errors"] == 1
    assert set(done.parseoutcomes()) == {"errors", "skipped", "deselected"}
    done.stdout.fnmatch_lines("*the store cannot be opened or reached: see the first error")


@pytest.mark.parametrize("url", ["nosuch://x", "memory://?nosuch=1", "nothing"])
def test_wrong_url_of_a_run(run_suite, url):
    """One error, before any check: status 2."""
    done = run_suite("--pyargs", "kvbackends.testing", "--store-url", url)
    assert done.ret == 2
    assert done.parseoutcomes() == {"errors": 1}


def test_wrong_url_of_a_report():
    """From a program: status 2 and the reason; what is no URL at all is an exception."""
    report = run(["memory://?nosuch=1"])
    assert (report.exit_code, report.results) == (2, [])
    assert "no option 'nosuch'" in report.problem
    with pytest.raises(ConfigurationError):
        run(["nothing"])


def test_unknown_check(run_suite):
    """A name that there is not is an error that names near ones, not an empty run."""
    done = run_suite("--store-check=ranks.matrx")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines("*no check and no area 'ranks.matrx'; did you mean ranks.matrix*")
    with pytest.raises(ValueError, match=r"did you mean ranks\.matrix"):
        run(["memory://x"], checks=["ranks.matrx"])


LEAKY = """
from kvbackends.contract import Adapter, hookimpl
from tests.broken_stores.reference import ReferenceStore


class Leaky(ReferenceStore):
    def get(self, key):
        raise ValueError(f"no {self.url.raw.reveal()} with {self.url.password.reveal()}")

    def ping(self):
        pass


@hookimpl
def kvbackends_adapters():
    yield Adapter(schemes=("leaky",), store=Leaky, summary="tells", example="leaky://x")
"""


def test_no_secret_in_a_report(tmp_path, monkeypatch):
    """A password that a store shows is masked in messages and details."""
    (tmp_path / "leaky.py").write_text(LEAKY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    told = []
    report = run(
        ["leaky://user:hunter2@host/x"],
        checks=["methods.set_then_get"],
        plugins=["leaky"],
        on_result=told.append,
    )
    assert report.exit_code == 1, report.problem
    assert "ValueError: no leaky://user:**@host/x with **" in report.failed[0].message
    assert "hunter2" not in repr(report) + repr(told)
