"""Every broken store fails the very check that has to catch its defect."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from kvbackends.testing import checks, run
from tests.broken_stores import BROKEN, CORRECT, url
from tests.broken_stores.registry import PLAINEST

ONLY_NAMED = "tests.broken_stores.only_named"
PROCESSES = 4
SCHEMES = [each.scheme for each in BROKEN]
QUICK = {each.scheme: each for each in BROKEN if not each.slow}
SLOW = {each.scheme: each for each in BROKEN if each.slow}

pytestmark = pytest.mark.timeout(1200)  # the set-up runs hundreds of stores


@pytest.fixture(scope="module")
def correct(tmp_path_factory):
    """The report of a quick run of the store that most of the others are broken out of."""
    folder = tmp_path_factory.mktemp("correct")
    return run([url(PLAINEST, folder)], quick=True, plugins=["tests.broken_stores"])


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory, correct):
    """Passed and failed checks by scheme: of each broken store its own, of a correct one many.

    In several processes at once: a waiter that is never woken sleeps for seconds.
    """
    folder = tmp_path_factory.mktemp("broken")
    tests = [each.callspec.params for each in request.session.items if hasattr(each, "callspec")]
    chosen = {each["broken"].scheme for each in tests if "broken" in each}
    schemes = [*CORRECT, *(scheme for scheme in QUICK if scheme in chosen)]
    groups = [[url(scheme, folder) for scheme in schemes[i::PROCESSES]] for i in range(PROCESSES)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        reports = list(pool.map(_only_named, groups))
    outcomes = {(scheme, word): set() for scheme in schemes for word in ("passed", "failed")}
    for report in [*reports, correct]:
        assert report.exit_code in {0, 1}, report.problem
        for each in report.results:
            found = outcomes.setdefault((each.url.partition(":")[0], each.outcome), set())
            found.add(each.check)
    return outcomes


def _only_named(urls):
    return run(urls, plugins=[ONLY_NAMED], arguments=["-p", "pytest_timeout", "--timeout=30"])


@pytest.mark.parametrize("broken", QUICK.values(), ids=QUICK)
def test_caught(outcomes, broken):
    """The check that is named fails on the broken store, and passes on the one it is made from."""
    assert outcomes[broken.scheme, "failed"] == {broken.check}, broken.defect
    assert broken.check in outcomes[broken.correct, "passed"]
    assert broken.check not in outcomes[broken.correct, "failed"]


@pytest.mark.slow
@pytest.mark.parametrize("broken", SLOW.values(), ids=SLOW)
def test_caught_in_the_end(tmp_path, broken):
    """A check that takes long, too, fails on its broken store and passes on the correct one."""
    failing = {
        scheme: run(
            [url(scheme, tmp_path)], checks=[broken.check], plugins=["tests.broken_stores"]
        ).failing_checks
        for scheme in (broken.scheme, broken.correct)
    }
    assert failing == {broken.scheme: [broken.check], broken.correct: []}


def test_list():
    """Each store has a scheme, a check that exists, one correct base and a sentence."""
    assert len(BROKEN) >= 25
    assert len(set(SCHEMES)) == len(BROKEN)
    assert {each.check for each in BROKEN} <= {check.name for check in checks()}
    assert all(each.defect.endswith(".") for each in BROKEN)
    assert {each.correct for each in BROKEN} == CORRECT.keys()


def test_correct(correct):
    """The store that most of the others are broken out of passes a quick run."""
    assert (correct.exit_code, correct.failing_checks) == (0, []), correct.failed or correct.problem


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("broken", BROKEN, ids=SCHEMES)
def test_whole_suite_fails(tmp_path, broken):
    """A whole run refuses each broken store, without naming the check; mostly a quick one does."""
    quick = next(check.quick for check in checks() if check.name == broken.check)
    report = run(
        [url(broken.scheme, tmp_path)],
        quick=quick,
        plugins=["tests.broken_stores"],
        arguments=["-p", "pytest_timeout", "--timeout=60"],
        first_failure=True,
    )
    assert report.exit_code == 1, broken.defect
