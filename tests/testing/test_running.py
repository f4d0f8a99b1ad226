"""`run`, and what a suite refuses."""

import pytest

from kvbackends.testing import Deviation, StoreSuite, checks, run

pytest_plugins = ["pytester"]


def test_run_proves_a_store(tmp_path):
    """One area, both ways, in a process of its own; the secret in the URL is not shown."""
    seen = []
    report = run(
        [f"sqlite:///{tmp_path}/r.db", "memory://run"], checks=["versions"], on_result=seen.append
    )
    assert (report.exit_code, report.problem) == (0, "")
    assert report.total == len(report.results) == len(seen)
    assert {(each.mode, each.outcome) for each in seen} == {
        ("native", "passed"),
        ("derived", "passed"),
    }
    assert set(report.matrix().values()) == {"passed"}
    assert {each.check.partition(".")[0] for each in seen} == {"versions"}


def test_run_says_why_it_cannot(tmp_path):
    """A store that cannot be opened fails; a plugin that cannot be imported is a problem."""
    report = run([f"sqlite:///{tmp_path}/no/such/folder/r.db?retry=0"], checks=["methods.delete"])
    assert report.exit_code == 1
    assert report.failing_checks == ["methods.delete"]
    report = run(["memory://x"], checks=["methods.delete"], plugins=["no_such_module"])
    assert report.exit_code == 2
    assert "no_such_module" in report.problem


def test_names_are_unique():
    """A name is a check, a method is a check, and each says what it establishes."""
    assert len({check.name for check in checks()}) == len(checks())
    assert len({check.method for check in checks()}) == len(checks())
    assert all(check.summary for check in checks())


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"test_ranks_matrix": print}, "never changed"),
        ({"deviations": [Deviation("ranks.no_such", KeyError, "why")]}, "is no check"),
        ({"deviations": [Deviation("ranks.matrix", Exception, "why")]}, "names the exception"),
        ({"deviations": [Deviation("ranks.matrix", KeyError, " ")]}, "no reason"),
    ],
)
def test_refused(body, why):
    """A suite that would hide a failure is refused when its class is defined."""
    with pytest.raises(TypeError, match=why):
        type("TestHiding", (StoreSuite,), body)


def test_deviation_is_accepted():
    """A declared, reasoned, typed deviation of one mode is fine."""
    deviation = Deviation("ranks.matrix[derived]", AssertionError, "known")
    assert type("TestFine", (StoreSuite,), {"deviations": [deviation]}).deviations == [deviation]


PLUGIN = ("-p", "kvbackends.testing.plugin")
SUITES = """
from kvbackends.testing import StoreSuite


class TestQuick(StoreSuite):
    url = "memory://quick"
    quick = True


class TestWhole(StoreSuite):
    url = "memory://whole"
"""


@pytest.mark.parametrize(
    ("words", "collected"),
    [
        ([], {"TestWhole"}),
        ([*PLUGIN], {"TestWhole"}),
        ([*PLUGIN, "--store-full"], {"TestQuick", "TestWhole"}),
        ([*PLUGIN, "--store-quick"], set()),
    ],
    ids=["alone", "plugin", "full", "quick"],
)
def test_quick_suite(pytester, words, collected):
    """A suite may leave out the checks that take their time; an option of a run is stronger."""
    pytester.makepyfile(SUITES)
    done = pytester.runpytest("--collect-only", "-q", "-k", "model_agrees_always", *words)
    names = {line.split("::")[1] for line in done.outlines if "::" in line}
    assert names == collected


def test_no_check_changes_the_premises_of_others():
    """Expired keys are swept after all other checks: some wait to see that nothing reads them."""
    suite = ["broken-lists-expired://premises", "broken-ranks-expired://premises"]
    waiting = ["listing.lists_a_prefix", "ranks.any_rank_after_expiry"]
    sweeping = [each.name for each in checks() if "sweep" in each.name]
    report = run(suite, checks=[*sweeping, *waiting], plugins=["tests.broken_stores"])
    caught = {(each.url.partition(":")[0], each.check) for each in report.failed}
    assert {("broken-lists-expired", waiting[0]), ("broken-ranks-expired", waiting[1])} <= caught
    order = [each.check for each in report.results if each.url.startswith(suite[0])]
    last = {check.name for check in checks() if check.last}
    assert [name in last for name in order] == sorted(name in last for name in order)
