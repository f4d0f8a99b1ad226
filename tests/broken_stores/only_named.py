"""A pytest plugin: of each broken store's suite only the check that has to catch it is collected.

And of the correct stores' suites only what catches a store that was broken out of them; of the
plainest one, which is tried with all quick checks elsewhere, only the others. A broken store that
was caught is not tried further.
"""

from collections import defaultdict
from typing import Any

import pytest

from kvbackends.contract import StoreURL
from kvbackends.testing.check import checks
from tests.broken_stores import BROKEN
from tests.broken_stores.registry import PLAINEST

_METHODS = {check.method: check.name for check in checks()}
_QUICK = {check.name for check in checks() if check.quick}
_SCHEMES = {broken.scheme for broken in BROKEN}
_WANTED: dict[str, set[str]] = defaultdict(set)
for _broken in (each for each in BROKEN if not each.slow):
    _WANTED[_broken.scheme].add(_broken.check)
    _WANTED[_broken.correct].add(_broken.check)
_WANTED[PLAINEST] -= _QUICK
_caught: set[str] = set()


def _scheme(suite: object) -> str:
    url = getattr(suite, "url", "")
    return StoreURL.parse(url).scheme if url else ""


def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> list[pytest.Item] | None:
    """Leaves out a check that the store at hand is not made for."""
    scheme = _scheme(collector.obj)
    if name not in _METHODS or not scheme:
        return None
    return None if _METHODS[name] in _WANTED[scheme] else []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: Any) -> None:
    """Leaves out the other modes and cases of a store that was caught."""
    if _scheme(item.cls) in _caught:
        pytest.skip("it was caught")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any) -> Any:
    """Keeps in mind what was caught."""
    report = yield
    if report.failed and _scheme(item.cls) in _SCHEMES:
        _caught.add(_scheme(item.cls))
    return report
