"""The pytest plugin: ``--store-url``, expected deviations, and a report for the command.

pytest loads this wherever the package is installed, so it imports the suite only when asked.
"""

import json
import os
from collections.abc import Generator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kvbackends.testing.registry import Check

URLS = "KVBACKENDS_STORE_URLS"
"""The environment variable that hands URLs over, as JSON: they may hold passwords."""

# Before anything imports them.
pytest.register_assert_rewrite("kvbackends.testing.areas", "kvbackends.testing.tools")

_given: list[str] = []
_has_failed = pytest.StashKey[bool]()


def urls() -> list[str]:
    """The URLs that this run was given."""
    return [*_given, *json.loads(os.environ.get(URLS, "[]"))]


def longest(item: Any) -> float:
    """Seconds after which a check fails because it does not end."""
    told: float | None = item.config.getoption("--store-longest")
    return item.cls.longest if told is None else told


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of a run without a file."""
    group = parser.getgroup("kvbackends", "conformance of key-value stores")
    group.addoption("--store-url", action="append", default=[], help="a store to prove; repeatable")
    group.addoption("--store-quick", action="store_true", help="leave the long checks out")
    group.addoption("--store-full", action="store_true", help="run them where a suite is `quick`")
    group.addoption("--store-check", action="append", default=[], help="run this check or area")
    group.addoption("--store-longest", type=float, help="seconds after which a check fails")
    group.addoption("--store-report", type=int, default=None, help="write results to this file no.")


def pytest_configure(config: pytest.Config) -> None:
    """Keeps the URLs for `kvbackends.testing.test_store`."""
    _given[:] = config.getoption("--store-url")
    if wanted := config.getoption("--store-check"):
        from kvbackends.testing.registry import unknown

        if problem := unknown(wanted):
            raise pytest.UsageError(f"--store-check: {problem}")
    report = config.getoption("--store-report")
    if report is not None:
        config.pluginmanager.register(_Reporter(report), "kvbackends-report")


def pytest_plugin_registered(plugin: object) -> None:
    """``-p MODULE`` registers an adapter that is not installed: the module has the hook."""
    if isinstance(plugin, ModuleType) and hasattr(plugin, "kvbackends_adapters"):
        from kvbackends import register

        register(plugin)


def check_of(item: pytest.Item) -> "Check | None":
    """The check that a test is a run of."""
    if getattr(getattr(item, "cls", None), "deviations", None) is None:
        return None
    from kvbackends.testing.suite import BY_METHOD

    return BY_METHOD.get(getattr(item, "originalname", ""))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what was not asked for, and expects what was declared."""
    left_out = [item for item in items if _is_left_out(config, item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
    for item in items:
        if (check := check_of(item)) is not None:
            _expect_deviation(item, check)


def _is_left_out(config: pytest.Config, item: Any) -> bool:
    check = check_of(item)
    if check is None:
        return False
    wanted = config.getoption("--store-check")
    is_unwanted = bool(wanted) and not {check.name, check.area} & set(wanted)
    is_quick = item.cls.quick and not config.getoption("--store-full")
    return is_unwanted or (not check.quick and (is_quick or config.getoption("--store-quick")))


def _expect_deviation(item: Any, check: "Check") -> None:
    from kvbackends.testing.suite import deviation_for

    mode = item.callspec.params.get("mode", "")
    deviation = deviation_for(item.cls, check, mode, item.callspec.id)
    if deviation is not None:
        item.add_marker(
            pytest.mark.xfail(raises=deviation.raises, reason=deviation.reason, strict=True)
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a check that failed leaves behind is not the next one's."""
    report = yield
    if report.failed:
        item.stash[_has_failed] = True
    if report.when == "teardown" and _has_failed in item.stash and "_kept" in item.funcargs:
        item.funcargs["_kept"].close()
    return report


class _Reporter:
    """Writes one line of JSON for each event, to a file that is open already."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def _write(self, **event: object) -> None:
        os.write(self._descriptor, json.dumps(event).encode() + b"\n")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._write(event="collected", total=len(session.items))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: Any) -> None:
        """Who listens knows which check it was, should it never end."""
        if check_of(item) is not None:
            self._tell("began", item, longest=longest(item), seconds=0.0)

    def pytest_runtest_logfinish(self) -> None:
        self._write(event="ended")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: Any, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if check_of(item) is not None and (outcome := _outcome(report)):
            self._tell(
                "result",
                item,
                outcome=outcome,
                message=_message(report),
                details=report.longreprtext if outcome == "failed" else "",
                seconds=call.duration,
            )
        return report

    def _tell(self, event: str, item: Any, **more: object) -> None:
        check = check_of(item)
        assert check is not None
        self._write(
            event=event,
            store=item.cls.store_index,
            check=check.name,
            mode=item.callspec.params.get("mode", ""),
            case=item.callspec.id,
            **more,
        )

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._write(event="finished", status=int(exitstatus))


def _outcome(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return "" if report.when == "teardown" else "deviates"
    if report.failed:
        return "failed"
    if report.skipped:
        return "lacking" if "lacking: " in report.longreprtext else "skipped"
    return "passed" if report.when == "call" else ""


def _message(report: pytest.TestReport) -> str:
    if hasattr(report, "wasxfail"):
        return report.wasxfail
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return crash.message if crash is not None else report.longreprtext
