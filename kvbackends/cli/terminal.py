"""Output for people: a matrix for each store, then each failure and how to reproduce it."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from kvbackends.cli.console import Signs, counted, counts, signs
from kvbackends.cli.digest import MODES, Digest, Failure, Row
from kvbackends.testing.check import Check
from kvbackends.testing.redaction import MASK

if TYPE_CHECKING:
    from kvbackends.testing.bench import Cost

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

LONGEST_MESSAGE = 12
"""The most lines of a message that are shown; JSON and JUnit have all of them."""
LEGEND = "native: as it is; derived: its own operations taken away; lacking: not asked"
DETAILED = 10
"""The most failures of one store that are shown in full: those of the simplest area that fails."""
LONGEST_NAME = 200
"""The most letters of a key that are shown."""
NAMED_FAILURES = 4
"""The most failing checks that the matrix names in one area."""


def show(console: Console, digest: Digest, plugins: Sequence[str], seconds: float) -> None:
    """Print the results of one store."""
    marks = signs(console)
    console.print()
    console.print(_title(digest))
    console.print(Padding(_features(digest), (1, 2), expand=False))
    console.print(Padding(_matrix(digest, marks), (0, 2), expand=False))
    console.print(Padding(Text(LEGEND, "dim"), (1, 2), expand=False))
    if digest.not_tried:
        console.print(Padding(_not_tried(digest), (0, 2, 1, 2), expand=False))
    first = [each for each in digest.failures if each.check.area == digest.failures[0].check.area]
    for failure in first[:DETAILED]:
        console.print(_failure(failure, marks))
        # On a line of its own and never wrapped, to be copied.
        console.print(Text(f"  $ {failure.reproduce(plugins)}\n", "bold"), soft_wrap=True)
    if more := digest.failures[len(first[:DETAILED]) :]:
        console.print(_more(more, marks))
    console.print(_verdict(digest, marks, seconds))
    for each in digest.not_asked:
        console.print(Text(f"  not asked: {each}", "dim"))


def show_costs(console: Console, shown: str, costs: Sequence["Cost"]) -> None:
    """Print what the operations of one store cost."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("operation")
    for name in ("native: trips", "ms", "derived: trips", "ms"):
        table.add_column(name, justify="right")
    rows: dict[str, list[str]] = {}
    for each in costs:
        cells = [f"{each.trips:.1f}", f"{1000 * each.seconds:.2f}"]
        rows.setdefault(each.operation, [each.operation]).extend(cells)
    for row in rows.values():
        table.add_row(*row)
    console.print(Rule(Text(shown, "bold"), align="left", style="dim"))
    console.print(table)
    console.print(
        Text("trips: round trips; calls of the store where no proxy can count them", "dim")
    )


def _title(digest: Digest) -> Rule:
    return Rule(Text(digest.subject.shown, "bold"), align="left", style="dim")


def _features(digest: Digest) -> Group:
    table = Table.grid(padding=(0, 2))
    styles = {"native": "green", "derived": "cyan", "lacking": "yellow"}
    for kind, features in digest.features.items():
        table.add_row(Text(kind, styles[kind]), Text("  ".join(features) or "nothing"))
    return Group(Text(digest.subject.summary, "italic"), Text(), table)


def _matrix(digest: Digest, marks: Signs) -> Table:
    table = Table(
        box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, show_footer=True
    )
    table.add_column("area", "total", no_wrap=True, footer_style="bold")
    for mode in MODES:
        table.add_column(mode, counts(digest.cell(mode), marks), no_wrap=True, min_width=9)
    lacked = sum(row.lacking_checks for row in digest.rows)
    table.add_column("lacking", Text(str(lacked or marks.none), "yellow"), max_width=26)
    if digest.failures:
        table.add_column("failing checks", overflow="fold")
    for row in digest.rows:
        cells = [counts(row.cells[mode], marks) for mode in MODES]
        table.add_row(row.area, *cells, _lacking(row, marks), *_failing(row, digest))
    return table


def _lacking(row: Row, marks: Signs) -> Text:
    if not row.lacking_checks:
        return Text(marks.none, "dim")
    return Text(f"{row.lacking_checks} {', '.join(row.lacking)}", "yellow")


def _failing(row: Row, digest: Digest) -> list[Text]:
    short = [name.removeprefix(f"{row.area}.") for name in row.failing]
    more = len(short) - NAMED_FAILURES
    short[NAMED_FAILURES:] = [f"and {more} more"] if more > 0 else []
    return [Text("\n".join(short), "red")] if digest.failures else []


def _not_tried(digest: Digest) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, why in digest.not_tried.items():
        table.add_row(Text("not tried", "dim"), Text(name), Text(why, "dim"))
    return table


def _failure(failure: Failure, marks: Signs) -> Group:
    heading = Text(f"{marks.bad} {failure.check.name}", "bold red")
    runs = f"{len(failure.runs)} of {counted(failure.tried, 'run')}"
    heading.append(f"   {' and '.join(failure.modes)}, {runs}", "not bold default")
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    if failure.likely:
        table.add_row("likely", Text(failure.likely, "bold"))
    table.add_row("proves", failure.check.summary)
    table.add_row("rule", Text(failure.check.rule, "cyan underline"))
    table.add_row("", Text(failure.check.rule_text, "dim"))
    if failure.teller.case not in MODES:
        table.add_row("case", failure.teller.case)
    for frame in failure.where:
        table.add_row(frame.role, frame.location)
        table.add_row("", _shortened(frame.statement, marks))
    table.add_row("message", _shortened(failure.message, marks))
    if failure.teller.printed:
        table.add_row("printed", _shortened(failure.teller.printed, marks, 2 * LONGEST_MESSAGE))
    if failure.example:
        table.add_row("smallest", _shortened(failure.example, marks, 2 * LONGEST_MESSAGE))
    if MASK in failure.url:
        table.add_row("", Text(f"put the secret back where {MASK} stands:", "dim"))
    return Group(heading, Padding(table, (0, 2), expand=False))


def _more(failures: Sequence[Failure], marks: Signs) -> Group:
    table = Table.grid(padding=(0, 2))
    for failure in failures:
        table.add_row(Text(f"{marks.bad} {failure.check.name}", "red"), failure.check.rule)
    hint = Text("--check NAME tells of one in full, --json of all\n", "dim")
    return Group(Text("and also", "bold"), table, hint)


def _shortened(text: str, marks: Signs, lines: int = LONGEST_MESSAGE) -> Text:
    every = _CONTROL.sub(lambda found: repr(found.group())[1:-1], text).splitlines()
    more = len(every) - lines
    shown = Text("\n".join(every[:lines]))
    if more > 0:
        shown.append(f"\n{marks.ellipsis} {counted(more, 'more line')}, with --json", "dim")
    return shown


def _verdict(digest: Digest, marks: Signs, seconds: float) -> Text:
    ran = digest.cell("native").ran + digest.cell("derived").ran
    text = Text()
    if digest.passed:
        text.append(f"{marks.good} conforms", "bold green")
        text.append(f"   {counted(ran, 'run')} of {counted(digest.tried, 'check')} passed")
    else:
        text.append(f"{marks.bad} does not conform", "bold red")
        text.append(f"   {counted(len(digest.failures), 'check')} of {digest.tried} failed")
        text.append(f", in {digest.counts['failed']} of {counted(ran, 'run')}")
    return text.append(f", {seconds:.1f} s", "dim")


def show_verdicts(console: Console, digests: Sequence[Digest]) -> None:
    """Print a line for each store."""
    marks = signs(console)
    console.print(Rule(style="dim"))
    for digest in digests:
        failed = f"{counted(len(digest.failures), 'check')} failed"
        line = Text(f"{marks.good} conforms" if digest.passed else f"{marks.bad} {failed}")
        line.stylize("green" if digest.passed else "red")
        console.print(line.append(f"   {digest.subject.shown}", "default"), soft_wrap=True)


def show_left(console: Console, names: Sequence[str]) -> None:
    """Print the keys that could not be removed from the stores."""
    for name in names[:DETAILED]:
        console.print(Text(f"left behind: {name[:LONGEST_NAME]}", "yellow"))
    if names[DETAILED:]:
        console.print(Text(f"and {len(names) - DETAILED} more", "yellow"))


def show_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print the checks, one line each if the terminal is wide enough."""
    longest = max(len(check.name) for check in checks)
    if not console.is_terminal:
        for check in checks:
            print(f"{check.name:{longest}}  {check.summary}")  # noqa: T201 - for grep: never wrapped
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        name = Text.assemble((check.area, "dim"), check.name.removeprefix(check.area))
        table.add_row(name, Text(check.summary))
    console.print(table)
