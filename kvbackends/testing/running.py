"""Runs the suite from a program, in a process of its own: the command calls `run`."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from kvbackends.testing.check import Check, checks, unknown
from kvbackends.testing.redaction import Redactor

LONGEST = 600.0
"""Seconds that the checks of one store may take, all together."""
GRACE = 15.0
"""Seconds that a check has after its time limit to report the failure itself."""
PARTING = 5.0
"""Seconds that the process has to end after each signal."""
SHOWN = 4000
"""Characters of the process's output that are shown when it could not run."""

_ORDER = ["failed", "deviates", "passed", "lacking", "skipped"]


class Frame(NamedTuple):
    """A statement in the traceback of a failure, and its location."""

    location: str
    statement: str
    role: str = "at"
    """``at``: the check's; ``adapter``: the adapter's; ``raised``: what raised the error."""


class Result(NamedTuple):
    """The outcome of one run of one check.

    Attributes:
        url: The store's URL, with its secrets masked.
        check: The check's name.
        mode: ``native`` or ``derived``.
        case: Which case of the check, as pytest names it.
        outcome: ``passed``, ``failed``, ``deviates``, ``lacking`` (not meant for it) or
            ``skipped``.
        message: The failed assertion or the exception; empty if it passed.
        details: How it failed, with the lines of the check.
        seconds: How long it took.
        where: The check's statement that failed and, if the store raised, the adapter's and the
            last.
        printed: What was printed meanwhile: the tracebacks of forked children, for instance.
        likely: The likely cause; empty where nothing points to one.
    """

    url: str
    check: str
    mode: str
    case: str
    outcome: str
    message: str = ""
    details: str = ""
    seconds: float = 0.0
    where: tuple[Frame, ...] = ()
    printed: str = ""
    likely: str = ""


@dataclass
class Report:
    """The outcome of a whole run.

    Attributes:
        results: The runs, in their order.
        total: How many runs of checks were collected.
        exit_code: 0: all passed; 1: some failed; 2: it could not run, and `problem` says why.
        problem: Why nothing could be run; empty if it could.
        left: The names of keys that could not be removed from the stores.
    """

    results: list[Result] = field(default_factory=list)
    total: int = 0
    exit_code: int = 2
    problem: str = ""
    left: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[Result]:
        """The runs that failed."""
        return [each for each in self.results if each.outcome == "failed"]

    @property
    def failing_checks(self) -> list[str]:
        """The names of the checks that failed, each once, in the order of the registry."""
        failed = {each.check for each in self.failed}
        return [check.name for check in checks() if check.name in failed]

    def matrix(self) -> dict[tuple[str, Check, str], str]:
        """The worst outcome of all cases, by masked URL, check and mode."""
        by_name = {check.name: check for check in checks()}
        cells: dict[tuple[str, Check, str], str] = {}
        for each in self.results:
            cell = (each.url, by_name[each.check], each.mode)
            cells[cell] = min(cells.get(cell, each.outcome), each.outcome, key=_ORDER.index)
        return cells


class Collected(NamedTuple):
    """Sent by the process before the first check."""

    total: int


class Began(NamedTuple):
    """Sent when a check begins; a list with its results follows."""

    failed: Result
    """Its result if the process ends before the check does."""
    longest: float
    """Seconds that it may take."""
    slowness: float
    """How many times longer than usual all may take."""


class Finished(NamedTuple):
    """Sent after the last check."""

    status: int
    """pytest's exit status."""
    left: list[str]
    """What could not be removed."""


def run(
    urls: Sequence[str],
    *,
    quick: bool = False,
    checks: Sequence[str] = (),
    plugins: Sequence[str] = (),
    arguments: Sequence[str] = (),
    first_failure: bool = False,
    keep: bool = False,
    longest: float = LONGEST,
    on_total: Callable[[int], object] = lambda _: None,
    on_result: Callable[[Result], object] = lambda _: None,
) -> Report:
    """Prove the stores at `urls`, in a process of its own.

    `checks` names checks or areas (none: all); `plugins` are modules that are imported first, to
    register adapters that are not installed; `arguments` are more arguments for pytest; `longest`
    is in seconds for each store; with `keep` what the checks wrote is not removed at the end.  What
    a store shows of its URL's secrets is masked in the report.
    Raises `ValueError` for a check that there is not and `ConfigurationError` for what is no URL.
    """
    if problem := unknown(checks):
        raise ValueError(problem)
    hidden = Redactor(urls)
    words = [f"--store-check={each}" for each in checks] + [f"-p{each}" for each in plugins]
    words += ["--store-quick"] * quick + ["-x"] * first_failure + ["--store-keep"] * keep
    run = _Run(on_total, on_result)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryDirectory() as folder:
        events, process = _start(output.fileno(), folder)
        try:
            with events, suppress(BrokenPipeError):  # it ended at once, and its output says why
                # A folder of its own: runs at the same time clean up the shared one together.
                words.append(f"--basetemp={folder}/pytest")
                events.send((list(urls), [*words, *arguments]))
                run.listen(events, longest * max(len(urls), 1))
            if not run.late:
                _wait(process)
        finally:
            _end(process)
        output.seek(0)
        return run.conclude(process.returncode, hidden(output.read().decode(errors="replace")))


def _start(output: int, folder: str) -> tuple[Connection, "subprocess.Popen[bytes]"]:
    ours, theirs = Pipe()
    with theirs:
        descriptor = theirs.fileno()
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "kvbackends.testing.child", str(descriptor)],
            # Hypothesis would leave a folder of its own where the command was run.
            env={"HYPOTHESIS_STORAGE_DIRECTORY": folder, **os.environ},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[descriptor],
            process_group=0,
        )
    return ours, process


class _Run:
    """Makes a report of the events that the process sends."""

    def __init__(
        self, on_total: Callable[[int], object], on_result: Callable[[Result], object]
    ) -> None:
        self._on_total = on_total
        self._on_result = on_result
        self._report = Report()
        self._amid: Began | None = None
        self._slowness = 1.0
        self._finished: Finished | None = None
        self.late = ""
        """Why the process has to be ended; empty if it ends by itself."""

    def listen(self, events: Connection, longest: float) -> None:
        """Handle events until the last one, or until the process ends or is late."""
        began = time.monotonic()
        with suppress(EOFError, ConnectionResetError):
            while self._finished is None:
                until = began + longest * self._slowness
                patience = max(until - time.monotonic(), 0.0)
                if self._amid is not None:
                    patience = min(patience, self._amid.longest + GRACE)
                if not events.poll(patience):
                    which = "the check" if until > time.monotonic() else "the run"
                    rest = "and was ended; what follows it was not run"
                    self.late = f"{which} did not end in time, {rest}"
                    return
                self._take(events.recv())

    def _take(self, event: Any) -> None:
        match event:
            case Collected():
                self._report.total = event.total
                self._on_total(event.total)
            case Began():
                self._amid = event
                self._slowness = max(self._slowness, event.slowness)
            case Finished():
                self._finished = event
                self._report.left = event.left
            case _:
                self._amid = None
                for result in event:
                    self._add(result)

    def _add(self, result: Result) -> None:
        self._report.results.append(result)
        self._on_result(result)

    def conclude(self, status: int, output: str) -> Report:
        """Return the report, after the process has ended with that status and output."""
        report, said = self._report, output.strip()[-SHOWN:]
        if self._amid is not None:
            report.exit_code = 1
            report.problem = self.late or f"the process ended with status {status} in this check"
            self._add(self._amid.failed._replace(message=report.problem, details=said))
        elif self._finished is None:
            report.problem = self.late or said or "the suite never began"
        elif report.results and self._finished.status in {0, 1}:
            report.exit_code = self._finished.status
        else:
            report.problem = said or f"pytest ended with status {self._finished.status}"
        return report


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process group: SIGINT first, so that checks can clean up, then SIGKILL."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            _wait(process)


def _wait(process: "subprocess.Popen[bytes]") -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(PARTING)
