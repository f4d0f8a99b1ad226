"""The results of a run by store: the numbers and failures that every output shows."""

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from kvbackends.cli.subjects import Subject
from kvbackends.contract import Feature
from kvbackends.testing.check import Check
from kvbackends.testing.running import Frame, Result

MODES = ("native", "derived")

_PROMISES = Feature.AUTOEXPIRE | Feature.DURABLE | Feature.SHARED
# The wording of older and of newer versions of Hypothesis.
_EXAMPLE = re.compile(r"^(?:Falsifying example|Failing test case): ?", re.MULTILINE)
# The prefix of each line of an error, also of one in a group of errors.
_FRAMING = re.compile(r"^(?:E   +)?(?: *\|)* {0,4}", re.MULTILINE)
_NOISE = re.compile(r"\n(?:assert |\s*\+ +(?:where|and) |\s*Use -v|\s*Omitting).*")
"""pytest's details of the parts of an expression; the failed statement is shown instead."""


@dataclass(frozen=True)
class Cell:
    """The runs of one area in one mode."""

    passed: int
    failed: int

    @property
    def ran(self) -> int:
        """The number of runs."""
        return self.passed + self.failed


@dataclass(frozen=True)
class Row:
    """One area of the matrix."""

    area: str
    cells: dict[str, Cell]
    lacking: tuple[str, ...]
    """Features that the store lacks, so that checks of this area were not run."""
    lacking_checks: int
    failing: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """One check that failed, in one mode or both."""

    check: Check
    url: str
    runs: tuple[Result, ...]
    """The runs that failed; the first one is shown."""
    tried: int

    @property
    def modes(self) -> list[str]:
        """The modes in which it failed."""
        return [mode for mode in MODES if any(run.mode == mode for run in self.runs)]

    @property
    def teller(self) -> Result:
        """The run that is shown: one with a single error, if there is one."""
        return next((run for run in self.runs if "ExceptionGroup" not in run.message), self.runs[0])

    @property
    def message(self) -> str:
        """The error's message, without pytest's details and Hypothesis's example."""
        text = _EXAMPLE.split(self.teller.message)[0]
        return _NOISE.sub("", text).strip() or self.teller.message

    @property
    def example(self) -> str:
        """The smallest example that Hypothesis found; empty for other checks."""
        text = _FRAMING.sub("", f"{self.teller.message}\n{self.teller.details}")
        found = _EXAMPLE.split(text)[1:2]
        example = found[0].partition("You can reproduce")[0].strip() if found else ""
        return example.removeprefix("<state machine>\n")

    @property
    def likely(self) -> str:
        """The likely cause; empty where nothing points to one."""
        return next((run.likely for run in self.runs if run.likely), "")

    @property
    def where(self) -> tuple[Frame, ...]:
        """The check's statement that failed, and the store's that raised."""
        return self.teller.where

    def reproduce(self, plugins: Sequence[str]) -> str:
        """The command that runs this check alone."""
        options = [word for name in plugins for word in ("--plugin", name)]
        words = ["kvbackends", "conformance", self.url, *options, "--check", self.check.name]
        return shlex.join(words)


@dataclass(frozen=True)
class Digest:
    """The results of one store."""

    subject: Subject
    checks: Sequence[Check]
    results: Sequence[Result]

    @property
    def counts(self) -> Counter[str]:
        """The number of runs by outcome."""
        return Counter(each.outcome for each in self.results)

    @property
    def passed(self) -> bool:
        """True if no run failed."""
        return not self.counts["failed"]

    @property
    def tried(self) -> int:
        """The number of checks that were not skipped."""
        ran = {"passed", "failed", "deviates"}
        return sum(any(run.outcome in ran for run in runs) for runs in self.by_check.values())

    @cached_property
    def by_check(self) -> dict[str, list[Result]]:
        """The runs of each check."""
        runs: dict[str, list[Result]] = {check.name: [] for check in self.checks}
        for each in self.results:
            runs[each.check].append(each)
        return runs

    @cached_property
    def failures(self) -> list[Failure]:
        """The checks that failed, in the order of the registry."""
        return [failure for check in self.checks if (failure := self._failure(check))]

    def _failure(self, check: Check) -> Failure | None:
        runs = self.by_check[check.name]
        failed = tuple(run for run in runs if run.outcome == "failed")
        tried = sum(run.outcome in {"failed", "passed"} for run in runs)
        return Failure(check, self.subject.shown, failed, tried) if failed else None

    @cached_property
    def rows(self) -> list[Row]:
        """The rows of the matrix, one for each area."""
        return [self._row(area) for area in dict.fromkeys(each.area for each in self.checks)]

    def _row(self, area: str) -> Row:
        lacked = [each for each in self.checks if each.area == area and self.lacked_by(each)]
        return Row(
            area=area,
            cells={mode: self.cell(mode, area) for mode in MODES},
            lacking=tuple(dict.fromkeys(n for each in lacked for n in self.lacked_by(each))),
            lacking_checks=len(lacked),
            failing=tuple(each.check.name for each in self.failures if each.check.area == area),
        )

    def cell(self, mode: str, area: str = "") -> Cell:
        """Return the numbers of one area, or of all areas."""
        counts = Counter(
            each.outcome
            for each in self.results
            if each.mode == mode and (not area or each.check.partition(".")[0] == area)
        )
        return Cell(counts["passed"] + counts["deviates"], counts["failed"])

    def lacked_by(self, check: Check) -> list[str]:
        """Return the features that the check requires and the store lacks; empty if it applies."""
        return names(check.requires & ~self.subject.features)

    @property
    def not_asked(self) -> list[str]:
        """What this run says nothing about."""
        lacked = Counter(name for each in self.checks for name in self.lacked_by(each))
        told = [f"{number} checks, without {name}" for name, number in lacked.items()]
        if not self.subject.has_transient_errors:
            told.append("repeating after the driver's own errors: no transient_errors are declared")
        return told

    @property
    def not_tried(self) -> dict[str, str]:
        """The checks that were skipped for this store, with the reasons."""
        found = {}
        for name, runs in self.by_check.items():
            if runs and all(run.outcome == "skipped" for run in runs):
                found[name] = runs[-1].message
        return found

    @property
    def features(self) -> dict[str, list[str]]:
        """The features that are native, derived and lacking."""
        have, lack = self.subject.features, ~self.subject.features
        without = _PROMISES | Feature.LISTING
        if not have & Feature.LISTING:
            without |= Feature.FACETS  # with it the backend scans and decodes
        return {
            "native": names(have),
            "derived": names(lack & ~without),
            "lacking": names(lack & without),
        }


def names(flags: Feature) -> list[str]:
    """The names of the features."""
    return [str(flag.name) for flag in flags]
