"""Runs the suite from a program: `run` is what the command calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kvbackends.contract.url import StoreURL
from kvbackends.testing.check import Check, checks, unknown
from kvbackends.testing.process import Finished, Process
from kvbackends.testing.redaction import Redactor

LONGEST = 600.0
"""Seconds that the checks of one store may take, all together."""


class Result(NamedTuple):
    """The outcome of one run of one check."""

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
    """The outcome of a whole run."""

    results: list[Result] = field(default_factory=list)
    total: int = 0
    """How many runs of checks were collected."""
    exit_code: int = 2
    """0: all passed; 1: some failed; 2: it could not run, and `problem` says why."""
    problem: str = ""

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


_ORDER = ["failed", "deviates", "passed", "lacking", "skipped"]


def run(
    urls: Sequence[str],
    *,
    quick: bool = False,
    checks: Sequence[str] = (),
    plugins: Sequence[str] = (),
    arguments: Sequence[str] = (),
    first_failure: bool = False,
    longest: float = LONGEST,
    on_total: Callable[[int], object] = lambda _: None,
    on_result: Callable[[Result], object] = lambda _: None,
) -> Report:
    """Prove the stores at `urls`, in a process of its own.

    `checks` names checks or areas (none: all); `plugins` are modules that are imported first, to
    register adapters that are not installed; `arguments` are more arguments for pytest; `longest`
    is in seconds for each store.  What a store shows of its URL's secrets is masked in the report.
    Raises `ValueError` for a check that there is not and `ConfigurationError` for what is no URL.
    """
    if problem := unknown(checks):
        raise ValueError(problem)
    words = [f"--store-check={each}" for each in checks] + [f"-p{each}" for each in plugins]
    words += ["--store-quick"] * quick + ["-x"] * first_failure
    reporting = _Reporting(urls, on_total, on_result)
    process = Process(urls, [*words, *arguments], longest * max(len(urls), 1))
    return reporting.conclude(process.run(reporting.on_event))


class _Reporting:
    """Makes a report of the events that the process of the suite tells of."""

    def __init__(
        self,
        urls: Sequence[str],
        on_total: Callable[[int], object],
        on_result: Callable[[Result], object],
    ) -> None:
        self._shown = [str(StoreURL.parse(url)) for url in urls]
        self._hidden = Redactor(urls)
        self._on_total = on_total
        self._on_result = on_result
        self._report = Report()

    def on_event(self, event: dict[str, Any]) -> None:
        """Handle an event of the process: the collection, or the result of a check."""
        if event.pop("event") == "collected":
            self._report.total = event["total"]
            self._on_total(event["total"])
        else:
            self._add(event)

    def _add(self, event: dict[str, Any]) -> None:
        hidden = {name: self._hidden(event[name]) for name in ("message", "details")}
        result = Result(url=self._shown[event.pop("store")], **(event | hidden))
        self._report.results.append(result)
        self._on_result(result)

    def conclude(self, finished: Finished) -> Report:
        """The report, when the process has ended."""
        report = self._report
        if finished.amid is not None:
            self._add({**finished.amid, "outcome": "failed", "message": finished.problem})
        report.exit_code = 2
        if report.results and finished.status in {0, 1}:
            report.exit_code = finished.status
        if report.exit_code == 2 or finished.amid is not None:
            report.problem = self._hidden(finished.problem)
        return report
