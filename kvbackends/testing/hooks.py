"""The pytest hooks that a `StoreSuite` needs; the suite registers them when it is collected.

They read the options of `kvbackends.testing.plugin` where that plugin is loaded.
"""

import signal
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import pytest

from kvbackends.contract import Store
from kvbackends.testing.causes import likely
from kvbackends.testing.check import Check, checks_by_method
from kvbackends.testing.connections import Connections
from kvbackends.testing.delayed import arguments, may_start
from kvbackends.testing.deviations import deviation_for

USUAL = 0.01
"""Seconds that a call may take before time limits grow."""
MOST = 20.0
"""Time limits grow at most this many times."""

AGAIN = 10.0
"""Seconds between further interruptions of a check that ignored the first one."""

WORKS = "job"
"""The fixture of checks that use a worker."""
NAMED, LONGEST_NAME = 20, 200
"""The most names that are shown, and their longest length, in letters."""

_has_failed = pytest.StashKey[bool]()
_left = pytest.StashKey[list[str]]()
_slowness = pytest.StashKey[float]()


def check_of(item: object) -> Check | None:
    """The check that a test item runs; None for the tests of others."""
    if not hasattr(getattr(item, "cls", None), "deviations"):
        return None
    return checks_by_method().get(getattr(item, "originalname", ""))


def longest(item: Any) -> float:
    """Seconds after which the check fails because it has not ended."""
    given: float | None = item.config.getoption("kvbackends_longest", None)
    seconds: float = item.cls.longest if given is None else given
    return seconds * slowness(item)


def interrupt_after(seconds: float) -> None:
    """Interrupt the running check when it has taken so long from now on."""
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)


def slowness(item: Any) -> float:
    """How many times longer than usual checks may take, for a store whose calls take long."""
    times: float = item.config.stash.get(_slowness, 1.0)
    return times


def set_slowness(config: pytest.Config, latency: float) -> None:
    """Lengthen the time limits for a store whose calls take `latency` seconds."""
    config.stash[_slowness] = min(max(1.0, latency / USUAL), MOST)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects what was not asked for, orders the rest, and marks declared deviations."""
    deselected = [item for item in items if _is_deselected(config, item)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in set(deselected)]
    _order(items)
    for item in items:
        if (check := check_of(item)) is not None:
            _expect_deviation(item, check)


def _order(items: list[Any]) -> None:
    """Put the checks that run last at the end of their suites; nothing else changes place."""
    places: dict[object, int] = {}
    for place, item in enumerate(items):
        places.setdefault(getattr(item, "cls", None) or item, place)

    def position(item: Any) -> tuple[int, bool]:
        check = check_of(item)
        return places[getattr(item, "cls", None) or item], check is not None and check.last

    items.sort(key=position)


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


def tell_left(config: pytest.Config, names: list[str]) -> None:
    """Keep the names of what a suite could not remove, for the end of the run."""
    config.stash.setdefault(_left, []).extend(names)


def left(config: pytest.Config) -> list[str]:
    """The names of what the suites could not remove."""
    return config.stash.get(_left, [])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Names what the suites have left on their servers."""
    if names := left(config):
        terminalreporter.section("left on the server")
        for name in names[:NAMED]:
            terminalreporter.line(name[:LONGEST_NAME])
        if names[NAMED:]:
            terminalreporter.line(f"and {len(names) - NAMED} more")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: Any) -> bool | None:
    """Takes the result of a check that has run beside others, if it passed."""
    check, kept = check_of(pyfuncitem), pyfuncitem.funcargs.get("_kept")
    if check is None or kept is None or not _side_by_side(pyfuncitem.config):
        return None
    url, mode = pyfuncitem.funcargs["store_url"], pyfuncitem.funcargs["mode"]
    runs = partial(_overlapping, pyfuncitem, kept)
    if kept.overlapped(url, mode == "derived", runs).passed(pyfuncitem.nodeid):
        return True
    # It runs alone: it may fork, or count threads. The others' time is not its own.
    seconds = longest(pyfuncitem)
    interrupt_after(seconds)
    kept.settle(seconds / 2)
    interrupt_after(seconds)
    return None


def _side_by_side(config: pytest.Config) -> bool:
    """True if asked for, which only a run with the plugin can be."""
    return bool(config.getoption("kvbackends_side_by_side", default=False))


def _overlapping(first: Any, kept: Connections) -> dict[str, Callable[[], object]]:
    """The checks of a suite that may run beside others, in the mode of the first one."""
    store, url, mode = (first.funcargs[name] for name in ("store", "store_url", "mode"))
    second = kept.second(url, mode == "derived")
    found: dict[str, Callable[[], object]] = {}
    for item in first.session.items:
        check = check_of(item)
        if check is None or item.cls is not first.cls or check.is_lacking(store.features):
            continue
        given = {**item.callspec.params, "other": second, "second": second}
        if given.pop("mode", "") == mode and not check.alone and may_start(check, given):
            found[item.nodeid] = partial(_run, check, store, given)
    return found


def _run(check: Check, store: Store, given: dict[str, object]) -> None:
    check.function(**arguments(check, store, given))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: Any, nextitem: Any) -> None:
    """Ends the workers as soon as no check follows that uses them: an idle one costs time."""
    if _works(item) and not _works(nextitem) and (kept := item.funcargs.get("_kept")):
        kept.dismiss()


def _works(item: Any) -> bool:
    return check_of(item) is not None and WORKS in item.fixturenames


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Closes the shared connections after a failed check, so that the next check gets new ones."""
    report = yield
    if report.failed and (check := check_of(item)) is not None:
        if cause := likely(check.name, f"{report.longreprtext}\n{report.capstderr}"):
            report.sections.append(("likely cause", cause))
        item.stash[_has_failed] = True
    if report.when == "teardown" and _has_failed in item.stash and "_kept" in item.funcargs:
        item.funcargs["_kept"].close()
    return report
