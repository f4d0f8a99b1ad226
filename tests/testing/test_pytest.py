"""The suite as pytest runs it: deviations, what is lacking, wrong URLs and wrong names."""

import pytest

from kvbackends import ConfigurationError
from kvbackends.testing import run

pytest_plugins = ["pytester"]

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
def test_deviation(pytester, scheme, case, error, outcomes):
    """A check that was declared to fail has to fail, and in that way."""
    pytester.makepyfile(DEVIATING.format(url=f"{scheme}://deviating", case=case, error=error))
    done = pytester.runpytest("--store-check=ranks.matrix", "-rf")
    counted = done.parseoutcomes()
    assert tuple(counted.get(word, 0) for word in ("passed", "xfailed", "failed")) == outcomes
    assert done.ret == 1
    if scheme == "reference":
        done.stdout.fnmatch_lines("*XPASS(strict)* Ranks are compared as text.")


def test_deviation_alone(pytester):
    """A store that fails as it said, and in nothing else, passes."""
    text = DEVIATING.format(url="broken-empty-is-absent://x", case="", error="AssertionError")
    pytester.makepyfile(text.replace("ranks.matrix[]", "methods.empty_value"))
    done = pytester.runpytest("--store-check=methods.empty_value")
    assert (done.ret, done.parseoutcomes()["xfailed"]) == (0, 2)


LACKING = """
from kvbackends.testing import StoreSuite


class TestLacking(StoreSuite):
    url = "memory://lacking"
"""


def test_requires_and_lacking(pytester):
    """What a store does not claim is not asked for; what is documented instead is."""
    pytester.makepyfile(LACKING)
    some = [f"--store-check={name}" for name in ("listing", "processes.processes_share")]
    done = pytester.runpytest("-v", "-rs", *some)
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


WRONG = """
from kvbackends.testing import StoreSuite


class TestWrong(StoreSuite):
    url = "{url}"
"""


@pytest.mark.parametrize("url", ["nosuch://x", "memory://?nosuch=1", "sqlite:///no/such/dir/r.db"])
def test_wrong_url_of_a_suite(pytester, url):
    """One error, and all other checks say where it is."""
    pytester.makepyfile(WRONG.format(url=url))
    done = pytester.runpytest("--store-check=versions", "-rs")
    assert done.ret == 1
    assert done.parseoutcomes()["errors"] == 1
    assert set(done.parseoutcomes()) == {"errors", "skipped", "deselected"}
    done.stdout.fnmatch_lines("*the store cannot be opened or reached: see the first error")


@pytest.mark.parametrize("url", ["nosuch://x", "memory://?nosuch=1", "nothing"])
def test_wrong_url_of_a_run(pytester, url):
    """One error, before any check: status 2."""
    command = ("--pyargs", "kvbackends.testing", "--store-url", url)
    done = pytester.runpytest(*command)
    assert done.ret == 2
    assert done.parseoutcomes() == {"errors": 1}


def test_wrong_url_of_a_report():
    """From a program: status 2 and the reason; what is no URL at all is an exception."""
    report = run(["memory://?nosuch=1"])
    assert (report.exit_code, report.results) == (2, [])
    assert "no option 'nosuch'" in report.problem
    with pytest.raises(ConfigurationError):
        run(["nothing"])


def test_unknown_check(pytester):
    """A name that there is not is an error that names near ones, not an empty run."""
    done = pytester.runpytest("--store-check=ranks.matrx")
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
    """What a store tells of its password is masked in messages and details."""
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
