"""A pytest plugin, loaded into the suite's process: one line of JSON for each report that counts.

Nothing is summed up here, so a run that is killed half-way leaves what it knew.
"""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.servers.keeper import PR_SET_PDEATHSIG, prctl


def pytest_configure() -> None:
    """Should the harness be killed: this process goes too, and its pool goes with it."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    outcome = _outcome(report)
    if outcome:
        line = {
            "item": report.nodeid,
            "outcome": outcome,
            "seconds": round(report.duration, 2),
            "why": _why(report),
        }
        with Path(os.environ["CELERY_SUITE_RECORD"]).open("a") as record:
            record.write(json.dumps(line) + "\n")


def _outcome(report: pytest.TestReport) -> str:
    """The outcome of an item's decisive phase; empty for the phases that say nothing."""
    if report.outcome in ("rerun", "failed"):
        return report.outcome
    if report.skipped:
        return "xfailed" if hasattr(report, "wasxfail") else "skipped"
    if report.when == "call" and not _is_subtest(report):
        return "xpassed" if hasattr(report, "wasxfail") else "passed"
    return ""


def _is_subtest(report: pytest.TestReport) -> bool:
    return hasattr(report, "context")


def _why(report: Any) -> str:
    """The last line of an error, or the reason of a skip."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2])
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr or "")
    return getattr(report, "wasxfail", "") or text.strip()[:500]
