"""The process of a run: runs the suite with pytest, and sends the results to its parent.

``python -m kvbackends.testing.child DESCRIPTOR``, started by `kvbackends.testing.running`. The URLs
come through the connection, because everybody can read the command line of a process.
"""

import os
import sys
from collections.abc import Callable, Generator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from kvbackends.contract import StoreURL
from kvbackends.testing.hooks import check_of, left, longest, slowness
from kvbackends.testing.redaction import Redactor
from kvbackends.testing.running import Began, Collected, Finished, Frame, Result

SUITE = Path(__file__).parent
OPTIONS = [
    *("-q", "-c", os.devnull, f"--rootdir={SUITE}", "--import-mode=importlib"),
    *("-o", "xfail_strict=true", "-p", "no:cacheprovider", "-p", "kvbackends.testing.plugin"),
]
HELPERS = ("tools.py", "linearizability.py", "layers.py", "delayed.py")
"""Modules of the suite whose statements say less than the check that called them."""


class Reporter:
    """Sends the results of checks, with the secrets of `urls` masked."""

    def __init__(self, send: Callable[[object], None], urls: list[str]) -> None:
        self._send = send
        self._hidden = Redactor(urls)
        self._shown = [str(StoreURL.parse(url)) for url in urls]
        self._results: list[Result] = []
        self.left: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._send(Collected(len(session.items)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: Any) -> None:
        """Announces the check, so that the parent process can name one that never ends."""
        if check_of(item) is not None:
            self._send(Began(self._result(item, "failed"), longest(item), slowness(item)))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: Any, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if check_of(item) is not None and (outcome := _outcome(report)):
            result = self._result(item, outcome)._replace(
                message=self._hidden(_message(report)), seconds=call.duration
            )
            if outcome == "failed" and call.excinfo is not None:
                details, where = self._hidden(report.longreprtext), _where(call.excinfo.value)
                result = result._replace(details=details, where=where)
            self._results.append(result)
        return report

    def pytest_runtest_logfinish(self) -> None:
        """Sends the results at the end, when no time limit can interrupt the sending."""
        self._send(self._results)
        self._results = []

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.left = [self._hidden(each) for each in left(session.config)]

    def _result(self, item: Any, outcome: str) -> Result:
        check = check_of(item)
        assert check is not None
        return Result(
            url=self._shown[item.cls.store_index],
            check=check.name,
            mode=item.callspec.params.get("mode", ""),
            case=item.callspec.id,
            outcome=outcome,
        )


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


def _where(error: BaseException) -> tuple[Frame, ...]:
    """The check's last statement and, if the store raised the error, the store's last one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    traceback = pytest.ExceptionInfo.from_exception(error).traceback
    entries = [(Path(entry.path), entry) for entry in traceback]
    inside = [each for each in entries if SUITE in each[0].parents]
    of_check = [each for each in inside if each[0].name not in HELPERS]
    of_store = [each for each in entries[-1:] if each not in inside]
    return tuple(
        Frame(f"{_shown(path)}:{entry.lineno + 1}", str(entry.statement).strip())
        for path, entry in (*of_check[-1:], *of_store)
    )


def _shown(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if here in path.parents else path


def main() -> None:
    """Run the suite as the parent process says."""
    connection = Connection(int(sys.argv[1]))
    urls, words = connection.recv()
    arguments = [*OPTIONS, *(f"--store-url={url}" for url in urls)]
    arguments += ["--pyargs", "kvbackends.testing", *words]
    reporter = Reporter(connection.send, urls)
    status = pytest.main(arguments, plugins=[reporter])
    connection.send(Finished(int(status), reporter.left))
    sys.exit(status)


if __name__ == "__main__":
    main()
