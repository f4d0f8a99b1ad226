"""``kvbackends conformance URL...``: runs the suite and shows its results."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from kvbackends import __version__
from kvbackends.cli import CANNOT_RUN, FAILED, PASSED
from kvbackends.cli.console import Live, console, counted
from kvbackends.cli.digest import Digest
from kvbackends.cli.machine import as_json, as_junit
from kvbackends.cli.subjects import CannotRun, Subject, chosen, load_plugins, subjects
from kvbackends.cli.terminal import show, show_checks, show_costs, show_left, show_verdicts
from kvbackends.testing.check import Check, checks
from kvbackends.testing.running import Report, run

STOPPED = 130
"""The exit status after Ctrl-C, as shells have it."""

_REASON = re.compile(
    r"^(?:E +)?(?:\w+\.)*(\w+(?:Error|Exception|Warning)\b.*)$"
    r"|^(?:.+: )?error: (.+)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Request:
    """The arguments of the command line."""

    urls: tuple[str, ...]
    asked: tuple[str, ...]
    """Names of checks and areas; empty for all."""
    plugins: tuple[str, ...]
    quick: bool
    keep: bool
    json: str | None
    junit: str | None


def _writable(_context: click.Context, _option: click.Parameter, file: str | None) -> str | None:
    # Checked now rather than after a minute of checks.
    if file and file != "-" and (not Path(file).parent.is_dir() or Path(file).is_dir()):
        raise click.BadParameter(f"{file} cannot be written: no such directory")
    return file


@click.command()
@click.argument("urls", metavar="URL...", nargs=-1)
@click.option("--quick", is_flag=True, help="Leave out the checks that take their time.")
@click.option("--keep", is_flag=True, help="Leave the keys that the checks wrote there.")
@click.option("--check", "names", metavar="NAME", multiple=True, help="This check; repeatable.")
@click.option("--area", "areas", metavar="NAME", multiple=True, help="This area; repeatable.")
@click.option(
    "--json",
    "json_file",
    metavar="FILE",
    callback=_writable,
    help="Write all results as JSON; - is stdout.",
)
@click.option("--junit", metavar="FILE", callback=_writable, help="Write all results as JUnit XML.")
@click.option("--bench", is_flag=True, help="Show what operations cost, and run no check.")
@click.option("--list", "listing", is_flag=True, help="List the checks, and run none.")
@click.option(
    "--plugin",
    "plugins",
    metavar="MODULE",
    multiple=True,
    help="Import this first: it registers an adapter that is not installed; repeatable.",
)
def conformance(
    urls: tuple[str, ...],
    quick: bool,
    keep: bool,
    names: tuple[str, ...],
    areas: tuple[str, ...],
    json_file: str | None,
    junit: str | None,
    bench: bool,
    listing: bool,
    plugins: tuple[str, ...],
) -> None:
    """Prove that the stores at URL... keep the contract.

    Every check runs on the store as it is (native) and with its own operations taken away, so that
    they are derived from the five methods. The store is written to: under keys of the checks' own,
    which are removed at the end.

    Exit status: 0 all passed, 1 some failed, 2 could not run.
    """
    request = Request(urls, (*names, *areas), plugins, quick, keep, json_file, junit)
    screen = console(on_stderr=json_file == "-")
    try:
        wanted = chosen(checks(), request.asked, quick=quick)
        if listing:
            show_checks(screen, wanted)
            return
        status = (_measure if bench else _prove)(request, wanted, screen)
    except CannotRun as problem:
        status = _give_up(request, str(problem))
    except KeyboardInterrupt:
        click.echo("kvbackends: stopped", err=True)
        status = STOPPED
    sys.exit(status)


def _give_up(request: Request, problem: str) -> int:
    click.echo(f"kvbackends: cannot run: {problem}", err=True)
    _write(request, [], CANNOT_RUN, problem)
    return CANNOT_RUN


def _prove(request: Request, wanted: Sequence[Check], screen: Console) -> int:
    if not request.urls:
        raise CannotRun("which store? For example: kvbackends conformance sqlite:///results.db")
    load_plugins(request.plugins)
    with screen.status("reaching the stores"):
        stores = subjects(request.urls)
    screen.print(_heading(request, wanted, stores))
    report = _run(request, stores, screen)
    if report.exit_code == CANNOT_RUN:
        raise CannotRun(_reason(report.problem))
    digests = [_digest(each, wanted, report) for each in stores]
    for digest in digests:
        show(screen, digest, request.plugins, sum(each.seconds for each in digest.results))
    if len(digests) > 1:
        show_verdicts(screen, digests)
    show_left(screen, report.left)
    if report.problem:
        screen.print(Text(f"stopped: {_reason(report.problem)}", "red"))
    status = PASSED if all(each.passed for each in digests) else FAILED
    _write(request, digests, status, "")
    return status


def _measure(request: Request, _wanted: Sequence[Check], screen: Console) -> int:
    from kvbackends.testing.bench import costs

    load_plugins(request.plugins)
    for each in subjects(request.urls):
        with screen.status(f"measuring {each.shown}"):
            found = costs(each.url)
        show_costs(screen, each.shown, found)
    return PASSED


def _heading(request: Request, wanted: Sequence[Check], stores: Sequence[Subject]) -> Text:
    words = [f"kvbackends {__version__} conformance", counted(len(wanted), "check")]
    words += [counted(len(stores), "store")] if len(stores) > 1 else []
    return Text(", ".join([*words, *(["quick"] if request.quick else [])]), "dim")


def _run(request: Request, stores: Sequence[Subject], screen: Console) -> Report:
    with Live(screen, [each.shown for each in stores]) as live:
        return run(
            request.urls,
            quick=request.quick,
            keep=request.keep,
            checks=request.asked,
            plugins=request.plugins,
            on_total=live.on_total,
            on_result=live.on_result,
        )


def _digest(subject: Subject, wanted: Sequence[Check], report: Report) -> Digest:
    return Digest(subject, wanted, [each for each in report.results if each.url == subject.shown])


def _reason(problem: str) -> str:
    # The line that names an error; the lines around it are pytest's own traceback.
    named = _REASON.findall(problem)
    return "".join(named[-1]) if named else " ".join(problem.split())


def _write(request: Request, digests: Sequence[Digest], status: int, problem: str) -> None:
    if request.json:
        _write_json(request.json, as_json(digests, request.plugins, status, problem))
    if request.junit:
        Path(request.junit).write_bytes(as_junit(digests, request.plugins, problem))


def _write_json(file: str, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2) + "\n"
    if file == "-":
        sys.stdout.write(text)
    else:
        Path(file).write_text(text, encoding="utf-8")
