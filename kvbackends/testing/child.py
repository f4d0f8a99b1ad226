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
from kvbackends.layers.layer import innermost
from kvbackends.testing.causes import likely
from kvbackends.testing.hooks import check_of, left, longest, slowness
from kvbackends.testing.redaction import Redactor
from kvbackends.testing.running import Began, Collected, Finished, Frame, Result

SUITE = Path(__file__).parent
PRINTED = 3000
"""Characters of what a check has printed that are kept, from the end."""
OPTIONS = [
    *("-q", "-c", os.devnull, f"--rootdir={SUITE}", "--import-mode=importlib"),
    *("-o", "xfail_strict=true", "-p", "no:cacheprovider", "-p", "kvbackends.testing.plugin"),
    "--store-side-by-side",
]
HELPERS = ("tools.py", "linearizability.py", "layers.py", "delayed.py", "overlapped.py")
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
                result = self._detailed(result, report, _where(call.excinfo.value, _home(item)))
            self._results.append(result)
        return report

    def _detailed(
        self, result: Result, report: pytest.TestReport, where: tuple[Frame, ...]
    ) -> Result:
        details, printed = self._hidden(report.longreprtext), self._hidden(report.capstderr)
        said = "\n".join([*(frame.statement for frame in where), details, printed])
        return result._replace(
            details=details,
            where=where,
            printed=printed.strip()[-PRINTED:],
            likely=likely(result.check, said),
        )

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


def _home(item: Any) -> Path | None:
    """The folder of the adapter; None where its store was not opened."""
    store = getattr(item, "funcargs", {}).get("store")
    module = store and sys.modules.get(type(innermost(store)).__module__)
    file = getattr(module, "__file__", None)
    return file and Path(file).parent


def _where(error: BaseException, home: Path | None) -> tuple[Frame, ...]:
    """The check's last statement and, if the store raised the error, the adapter's and the last."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    traceback = pytest.ExceptionInfo.from_exception(error).traceback
    entries = [(Path(entry.path), entry) for entry in traceback]
    inside = [each for each in entries if SUITE in each[0].parents]
    of_check = [each for each in inside if each[0].name not in HELPERS]
    outside = [each for each in entries if each not in inside]
    of_adapter = [each for each in outside if home in each[0].parents]
    found = {"at": of_check[-1:], "adapter": of_adapter[-1:], "raised": entries[-1:]}
    if entries[-1:] == of_adapter[-1:] or entries[-1] in inside:
        del found["raised"]
    return tuple(
        Frame(f"{_shown(path)}:{entry.lineno + 1}", str(entry.statement).strip(), role)
        for role, each in found.items()
        for path, entry in each
    )


def _shown(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if here in path.parents else path


def main() -> None:
    """Run the suite as the parent process says."""
    # Plugins that happen to be installed take time to import, and may change what the checks do.
    os.environ.setdefault("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
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
