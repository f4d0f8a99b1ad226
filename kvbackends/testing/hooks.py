"""The pytest hooks that a `StoreSuite` needs; the suite registers them when it is collected.

They read the options of `kvbackends.testing.plugin` where that plugin is loaded.
"""

from collections.abc import Generator
from typing import Any

import pytest

from kvbackends.testing.check import Check, checks_by_method
from kvbackends.testing.deviations import deviation_for

_has_failed = pytest.StashKey[bool]()


def check_of(item: object) -> Check | None:
    """The check that a test item runs; None for the tests of others."""
    if not hasattr(getattr(item, "cls", None), "deviations"):
        return None
    return checks_by_method().get(getattr(item, "originalname", ""))


def longest(item: Any) -> float:
    """Seconds after which the check fails because it has not ended."""
    given: float | None = item.config.getoption("kvbackends_longest", None)
    return item.cls.longest if given is None else given


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects what was not asked for, and marks declared deviations as expected failures."""
    deselected = [item for item in items if _is_deselected(config, item)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in set(deselected)]
    for item in items:
        if (check := check_of(item)) is not None:
            _expect_deviation(item, check)


def _is_deselected(config: pytest.Config, item: Any) -> bool:
    check = check_of(item)
    if check is None:
        return False
    wanted = set(config.getoption("kvbackends_checks", []))
    is_quick = config.getoption("kvbackends_quick", False) or (
        item.cls.quick and not config.getoption("kvbackends_full", False)
    )
    is_unwanted = bool(wanted) and not {check.name, check.area} & wanted
    return is_unwanted or (is_quick and not check.quick)


def _expect_deviation(item: Any, check: Check) -> None:
    params = item.callspec.params
    deviation = deviation_for(item.cls.deviations, check, params.get("mode", ""), item.callspec.id)
    if deviation is not None:
        item.add_marker(
            pytest.mark.xfail(raises=deviation.raises, reason=deviation.reason, strict=True)
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Closes the shared connections after a failed check, so that the next check gets new ones."""
    report = yield
    if report.failed:
        item.stash[_has_failed] = True
    if report.when == "teardown" and _has_failed in item.stash and "_kept" in item.funcargs:
        item.funcargs["_kept"].close()
    return report
