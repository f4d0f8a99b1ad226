"""Writes the results of a run to the process that started it."""

import json
import os
from collections.abc import Generator
from typing import Any

import pytest

from kvbackends.testing.hooks import check_of, longest


class Reporter:
    """Writes one line of JSON for each event, to a file that is open already."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def _write(self, **event: object) -> None:
        os.write(self._descriptor, json.dumps(event).encode() + b"\n")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._write(event="collected", total=len(session.items))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: Any) -> None:
        """Announces the check, so that the parent process can name one that never ends."""
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
