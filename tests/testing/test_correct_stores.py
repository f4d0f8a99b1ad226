"""The suite raises no false alarm: a correct store conforms, whatever its features and limits."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from kvbackends import register
from kvbackends.contract import Limits
from kvbackends.plugins.registry import plugin_of, unregister
from kvbackends.testing import run
from kvbackends.testing.workers import _module_of
from tests.broken_stores import registry, url
from tests.testing import correct_stores
from tests.testing.correct_stores import STORES

PLUGIN = "tests.testing.correct_stores"
PROCESSES = 2


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """The failures by scheme, of the checks that are named for each store."""
    folder = tmp_path_factory.mktemp("correct")
    groups = [
        [url(scheme, folder) for scheme in list(STORES)[i::PROCESSES]] for i in range(PROCESSES)
    ]
    with ThreadPoolExecutor(PROCESSES) as pool:
        reports = list(
            pool.map(lambda urls: run(urls, plugins=["tests.testing.only_asked"]), groups)
        )
    failed = {scheme: [] for scheme in STORES}
    ran = set()
    for report in reports:
        assert report.exit_code in {0, 1}, report.problem
        for each in report.results:
            scheme = each.url.partition(":")[0]
            ran.add(scheme)
            failed[scheme] += [each] * (each.outcome == "failed")
    assert ran == set(STORES)
    return failed


@pytest.mark.parametrize("scheme", STORES)
def test_conforms(failed, scheme):
    """What a freedom or a limit at its extreme could make fail passes."""
    assert failed[scheme] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheme", STORES)
def test_whole_suite_passes(tmp_path, scheme):
    """A quick run of everything."""
    report = run([url(scheme, tmp_path)], quick=True, plugins=[PLUGIN])
    assert (report.exit_code, report.failing_checks) == (0, []), report.failed or report.problem


def test_every_limit_has_extremes():
    """Each limit that a store may declare is declared by one of them."""
    plain = Limits()
    declared = [each.store.limits for each in STORES.values()]
    assert all(
        any(getattr(limits, name) != getattr(plain, name) for limits in declared)
        for name in Limits._fields
    )


def test_worker_registers_the_plugin():
    """A worker imports the module with the hook, not the one with the store's class."""
    register(registry)
    assert _module_of(plugin_of("reference-file")) == registry.__name__
    register(correct_stores)
    try:
        assert _module_of(plugin_of("correct-only-shared")) == PLUGIN
    finally:
        unregister(correct_stores)
