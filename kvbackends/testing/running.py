"""Runs the suite from a program: `run` is what the command calls."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kvbackends.testing.plugin import URLS
from kvbackends.testing.registry import Check, checks
from kvbackends.url import StoreURL

INI = """[pytest]
addopts = --import-mode=importlib -p no:cacheprovider
python_classes = Test*
python_files = test_*.py
xfail_strict = true
"""


class Result(NamedTuple):
    """What came of one run of one check."""

    url: str
    """The store's URL, with its secrets masked."""
    check: str
    mode: str
    """``native`` or ``derived``."""
    case: str
    """Which case of the check, as pytest names it."""
    outcome: str
    """``passed``, ``failed``, ``deviates``, ``lacking`` (not meant for it) or ``skipped``."""
    message: str
    details: str
    """How it failed, with the lines of the check."""
    seconds: float


@dataclass
class Report:
    """What came of all."""

    results: list[Result] = field(default_factory=list)
    total: int = 0
    """How many runs of checks were collected."""
    exit_code: int = 2
    """0: all passed; 1: some failed; 2: it could not run, and `problem` says why."""
    problem: str = ""

    @property
    def failed(self) -> list[Result]:
        """Those that failed."""
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


_ORDER = ["failed", "deviates", "passed", "lacking", "skipped"]


def run(
    urls: Sequence[str],
    *,
    quick: bool = False,
    checks: Sequence[str] = (),
    plugins: Sequence[str] = (),
    arguments: Sequence[str] = (),
    first_failure: bool = False,
    on_total: Callable[[int], object] = lambda _: None,
    on_result: Callable[[Result], object] = lambda _: None,
) -> Report:
    """Prove the stores at `urls`, in a process of its own.

    `checks` names checks or areas (none: all); `plugins` are modules that are imported first, to
    register adapters that are not installed; `arguments` are more arguments for pytest.
    """
    words = [f"--store-check={each}" for each in checks] + [f"-p{each}" for each in plugins]
    words += ["--store-quick"] * quick + ["-x"] * first_failure
    with tempfile.TemporaryDirectory(prefix="kvbackends-") as folder:
        return _Run(urls, [*words, *arguments], on_total, on_result).report(folder)


class _Run:
    """One process, and the events that it writes."""

    def __init__(
        self,
        urls: Sequence[str],
        words: Sequence[str],
        on_total: Callable[[int], object],
        on_result: Callable[[Result], object],
    ) -> None:
        self._urls = urls
        self._shown = [str(StoreURL.parse(url)) for url in urls]
        self._words = words
        self._on_total, self._on_result = on_total, on_result
        self._report = Report()

    def report(self, folder: str) -> Report:
        """Runs it."""
        read, write = os.pipe()
        with open(f"{folder}/output", "w+b") as output:  # noqa: PTH123 - not a path
            process = self._begin(folder, write, output.fileno())
            os.close(write)
            with os.fdopen(read, "rb") as events:
                finished = self._follow(events)
            status = process.wait()
            output.seek(0)
            self._conclude(finished, status, output.read().decode(errors="replace"))
        return self._report

    def _begin(self, folder: str, write: int, output: int) -> "subprocess.Popen[bytes]":
        with open(f"{folder}/pytest.ini", "w") as ini:  # noqa: PTH123 - not a path
            ini.write(INI)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-c",
            f"{folder}/pytest.ini",
            "--rootdir",
            folder,
        ]
        command += ["-q", f"--store-report={write}", "--pyargs", "kvbackends.testing"]
        return subprocess.Popen(  # noqa: S603 - our own interpreter
            [*command, *self._words],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            pass_fds=[write],
            env=os.environ | {URLS: json.dumps(list(self._urls))},
        )

    def _follow(self, events: Iterator[bytes]) -> bool:
        for line in events:
            event = json.loads(line)
            kind = event.pop("event")
            if kind == "finished":
                return True
            if kind == "collected":
                self._report.total = event["total"]
                self._on_total(event["total"])
            else:
                self._add(event)
        return False

    def _add(self, event: dict[str, object]) -> None:
        index = event.pop("store")
        assert isinstance(index, int)
        result = Result(url=self._shown[index], **event)  # type: ignore[arg-type]
        self._report.results.append(result)
        self._on_result(result)

    def _conclude(self, finished: bool, status: int, output: str) -> None:
        report = self._report
        report.exit_code = status if finished and status in {0, 1} and report.results else 2
        if report.exit_code == 2:
            report.problem = output.strip()[-4000:] or f"pytest ended with status {status}"
