"""Tables for people, JSON and CSV for programs, and times as people write them."""

import csv
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import msgspec

Row = Sequence[Any]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
COLOURS = {"SUCCESS": "green", "FAILURE": "red", "REVOKED": "red", "RETRY": "yellow"}


def formats(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for programs."""
    function = click.option("--csv", "as_csv", is_flag=True, help="Write CSV.")(function)
    return click.option("--json", "as_json", is_flag=True, help="Write JSON.")(function)


def table(
    names: Sequence[str], rows: Iterable[Row], *, as_json: bool = False, as_csv: bool = False
) -> int:
    """Write rows in the wanted form; returns how many."""
    listed = [list(row) for row in rows]
    if as_json:
        write_json([dict(zip(names, row, strict=True)) for row in listed])
    elif as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerows([names, *([_text(each) for each in row] for row in listed)])
    else:
        _write_columns(names, [[_text(each) for each in row] for row in listed])
    return len(listed)


def write_json(value: Any) -> None:
    """Write a value as one JSON document."""
    click.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=str)).decode())


def _write_columns(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    shown = [[each.upper() for each in names], *rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for number, row in enumerate(shown):
        cells = [each.ljust(width) for each, width in zip(row, widths, strict=True)]
        if number:
            cells = [click.style(cell, fg=COLOURS.get(cell.strip())) for cell in cells]
        click.echo("  ".join(cells).rstrip() if number else click.style("  ".join(cells), dim=True))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().isoformat(" ", "seconds")
    # One line a row, and nothing that a terminal obeys.
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "?", str(value))


def plain(text: str) -> str:
    """The text without control characters, but for line ends."""
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", "?", text)


def period(seconds: float | None) -> str:
    """``2h 5m``; empty for None."""
    if seconds is None:
        return ""
    whole, parts = int(seconds), []
    for unit in ("d", "h", "m"):
        count, whole = divmod(whole, _UNITS[unit])
        parts += [f"{count}{unit}"] if count else []
    return " ".join(parts[:2] or [f"{seconds:.3g}s" if seconds < 10 else f"{whole}s"])


class Period(click.ParamType[Any]):
    """``90s``, ``10m``, ``2h``, ``3d``, ``1w``; in seconds."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the seconds."""
        if isinstance(value, int | float):
            return float(value)
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw]?)", value.strip())
        if not found:
            self.fail(f"{value!r} is not a time such as 90s, 10m, 2h, 3d or 1w", param, ctx)
        return float(found[1]) * _UNITS[found[2] or "s"]


class Moment(click.ParamType[Any]):
    """A period before now, or a date and time in ISO's form; local time without a zone."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        """Return the time."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(value).astimezone()
        except ValueError:
            seconds = Period().convert(value, param, ctx)
            return datetime.now(UTC) - timedelta(seconds=seconds)


def progress(what: str) -> Callable[[int], None]:
    """Show a growing number on a terminal, on stderr."""
    if not sys.stderr.isatty():
        return lambda _count: None
    return lambda count: click.echo(f"\r{count:,} {what}", nl=False, err=True)
