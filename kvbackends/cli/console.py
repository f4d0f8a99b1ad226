"""The terminal: its width, the characters that it can show, and the progress of a run."""

import io
import re
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self, TextIO, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from kvbackends.cli.digest import Cell
from kvbackends.testing.running import Result

WIDEST = 100
_URL_COLUMN = Column(no_wrap=True, overflow="ellipsis", max_width=36)


class Signs(NamedTuple):
    """Marks that are readable without colour, and in ASCII where that is all there is."""

    good: str
    bad: str
    none: str
    ellipsis: str


_UNICODE = Signs("✔", "✘", "·", "…")
_ASCII = Signs("ok", "FAIL", "-", "...")


class _Trimmed(io.TextIOBase):
    """Writes to a log or a file, without blanks at the ends of lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def write(self, text: str) -> int:
        return self._stream.write(re.sub(" +$", "", text, flags=re.MULTILINE))

    def flush(self) -> None:
        self._stream.flush()


def console(*, on_stderr: bool) -> Console:
    """Return the console for people, on stdout or stderr."""
    stream: TextIO = sys.stderr if on_stderr else sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
    file = stream if stream.isatty() else cast("TextIO", _Trimmed(stream))
    made = Console(file=file, highlight=False, emoji=False, markup=False)
    made.width = min(made.width, WIDEST)
    return made


def signs(console: Console) -> Signs:
    """The marks that this console can show."""
    return _UNICODE if console.encoding.lower().startswith("utf") else _ASCII


def counted(number: int, what: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def counts(cell: Cell, marks: Signs) -> Text:
    """Return the number of passed runs, or of failed runs and all."""
    if cell.failed:
        return Text(f"{marks.bad} {cell.failed} of {cell.ran}", "bold red")
    return Text(f"{marks.good} {cell.passed}", "green") if cell.ran else Text(marks.none, "dim")


class Live:
    """Shows how far a run is: a bar for each store on a terminal, each failing check anywhere."""

    def __init__(self, console: Console, shown: Sequence[str]) -> None:
        self._console = console
        self._shown = shown
        self._failed: set[tuple[str, str]] = set()
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", table_column=_URL_COLUMN),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[doing]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks = {
            url: self._progress.add_task(url, total=None, start=False, doing="") for url in shown
        }

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def on_total(self, total: int) -> None:
        """Set the length of each store's bar: every store has the same checks."""
        for task in self._tasks.values():
            self._progress.update(task, total=total // len(self._shown))

    def on_result(self, result: Result) -> None:
        """Advance the bar of the store, and name a check that failed for the first time."""
        task = self._tasks[result.url]
        self._progress.start_task(task)
        self._progress.update(task, advance=1, doing=f"{result.check.partition('.')[0]:<10.10}")
        if self._progress.tasks[task].finished:
            self._progress.stop_task(task)
        if result.outcome == "failed":
            self._tell(result)

    def _tell(self, result: Result) -> None:
        known = {url for url, _ in self._failed}
        if (result.url, result.check) in self._failed:
            return
        self._failed.add((result.url, result.check))
        if len(self._shown) > 1 and result.url not in known:
            self._console.print(Text(result.url), soft_wrap=True)
        self._console.print(Text(f"{signs(self._console).bad} {result.check}", "red"))
