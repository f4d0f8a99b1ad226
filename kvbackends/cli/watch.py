"""``kvbackends tail`` and ``kvbackends watch``."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from celery import states

from kvbackends.admin import Admin, Wanted
from kvbackends.backend.payload import leaves
from kvbackends.cli import FAILED, PASSED
from kvbackends.cli.output import Period, plain
from kvbackends.cli.results import filters, wanted
from kvbackends.cli.show import state
from kvbackends.cli.target import CannotRun, Target, on_store

BAR = 30
"""Characters of a progress bar."""
LATE = timedelta(seconds=10)
"""How much later than its time a result may become visible (clocks, replicas)."""


@click.command(epilog="Example: kvbackends tail -A proj --failed")
@filters
@click.option("--interval", type=Period(), default="2s", show_default=True, help="Between looks.")
@click.option("--count", "most", type=int, help="Stop after so many.")
@on_store()
def tail(target: Target, interval: float, most: int | None, **asked: Any) -> None:
    """Show results as they come; each look lists the store."""
    asked["since"] = asked["since"] or datetime.now(UTC)
    for number, each in enumerate(_new(target.admin, wanted(**asked), interval), 1):
        done = each.done and each.done.astimezone().isoformat(" ", "seconds")
        click.echo(f"{done}  {plain(each.id)}  {state(each.state)}  {plain(each.task)}".rstrip())
        if number == most:
            return


def _new(admin: Admin, which: Wanted, interval: float) -> Iterator[Any]:
    seen: dict[tuple[str, str], datetime] = {}
    since = which.since or datetime.now(UTC)
    while True:
        look = Wanted(state=which.state, task=which.task, worker=which.worker, since=since)
        found = sorted(admin.each(look), key=lambda each: each.order)
        for each in found:
            if (each.id, each.state) not in seen:
                seen[each.id, each.state] = each.done or since
                yield each
        since = max(since, datetime.now(UTC) - LATE - timedelta(seconds=interval))
        seen = {name: done for name, done in seen.items() if done >= since}
        time.sleep(interval)


@click.command(epilog="Example: kvbackends watch -A proj 1d6f0c52-7d0b-4a35-9d2f-6a1c0a4d9f10")
@click.option("--interval", type=Period(), default="1s", show_default=True, help="Between looks.")
@click.option("--timeout", type=Period(), help="Stop waiting after this time.")
@on_store("[URL] ID...")
def watch(target: Target, interval: float, timeout: float | None) -> int:
    """Follow tasks, groups and chords by their ids until they end.

    Exit status: 0 all succeeded, 1 one failed, or the time is over.
    """
    if not target.words:
        raise CannotRun("what is watched? Give the id of a task, of a group or of a chord")
    ids = [each for word in target.words for each in _ids(target.admin, word)]
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        found = _states(target.admin, ids)
        ended = [each for each in found.values() if each in states.READY_STATES]
        _draw(len(ended), len(ids), last=len(ended) == len(ids))
        if len(ended) == len(ids):
            return PASSED if all(each == states.SUCCESS for each in ended) else FAILED
        if until is not None and time.monotonic() >= until:
            click.echo("the time is over", err=True)
            return FAILED
        time.sleep(interval)


def _ids(admin: Admin, word: str) -> list[str]:
    """The tasks that an id stands for: a chord's parts and body, a group's members, or itself."""
    chord = admin.chord(word)
    if chord is not None:
        return [*(each.id for each in chord.missing), *([chord.body] if chord.body else [])]
    group = admin.backend.restore_group(word)
    if group is None:
        return [word]
    return list(leaves(group))


def _states(admin: Admin, ids: list[str]) -> dict[str, str]:
    keys = admin.backend.keys_of(ids)
    stored = dict.fromkeys(ids, states.PENDING)
    for info in admin.named(list(keys.values())):
        stored[info.id] = info.state
    return stored


def _draw(done: int, total: int, *, last: bool) -> None:
    filled = BAR * done // max(total, 1)
    line = f"[{'#' * filled}{'.' * (BAR - filled)}] {done} of {total}"
    if sys.stdout.isatty():
        click.echo(f"\r{line}", nl=last)
    elif last:
        click.echo(line)
