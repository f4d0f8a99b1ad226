"""``kvbackends chords`` and ``kvbackends chord``."""

from collections.abc import Iterator

import click
import msgspec

from kvbackends.admin import ChordInfo
from kvbackends.cli import FAILED, PASSED
from kvbackends.cli.output import Period, formats, period, plain, table, write_json
from kvbackends.cli.show import state
from kvbackends.cli.target import CannotRun, Target, on_store
from kvbackends.contract import Outcome
from kvbackends.errors import NotSupported

COLUMNS = ("id", "body", "age", "done", "total", "missing", "held_for")
MOST = 50
"""Missing parts that are shown."""


@click.command(epilog="Example: kvbackends chords redis://localhost --stuck 10m")
@click.option("--stuck", type=Period(), metavar="TIME", help="Only those older than this.")
@formats
@on_store()
def chords(target: Target, stuck: float | None, as_json: bool, as_csv: bool) -> int:
    """List the chords in flight, the oldest first.

    Exit status with --stuck: 1 if there is one.
    """
    found = sorted(target.admin.chords(), key=lambda each: -(each.age or 0))
    if stuck is not None:
        found = [each for each in found if (each.age or 0) >= stuck]
    is_text = not (as_json or as_csv)
    table(COLUMNS, (_row(each, as_text=is_text) for each in found), as_json=as_json, as_csv=as_csv)
    return FAILED if stuck is not None and found else PASSED


def _row(each: ChordInfo, *, as_text: bool) -> list[object]:
    held = None if each.holder is None else each.holder.seconds
    age, held_for = (period(each.age), period(held)) if as_text else (each.age, held)
    missing = None if each.total is None else max(each.total - each.done, 0)
    return [each.id, each.body_task or each.body, age, each.done, each.total, missing, held_for]


@click.command(epilog="Example: kvbackends chord -A proj 1d6f0c52-7d0b-4a35-9d2f-6a1c0a4d9f10")
@click.option("--dispatch", is_flag=True, help="Publish the body of a complete chord; needs -A.")
@click.option("--abandon", is_flag=True, help="Fail the body, and forget the parts; needs -A.")
@click.option("--yes", is_flag=True, help="Do not ask before --abandon.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@on_store("[URL] ID")
def chord(target: Target, dispatch: bool, abandon: bool, yes: bool, as_json: bool) -> int:
    """Show a chord in flight: which parts are missing, and which task holds the claim.

    The id is that of the header's group, or of the body. Of a chord that has ended the results of
    its header are shown, the failed ones first; that reads all results.

    Exit status: 0 it is in flight, or was dispatched or abandoned, 1 not.
    """
    if len(target.words) != 1 or (dispatch and abandon):
        raise CannotRun("name one chord by the id of its group or body, and at most one action")
    (task_or_group,) = target.words
    info = target.admin.chord(task_or_group) or target.admin.chord_of(task_or_group)
    if dispatch:
        target.app("--dispatch sends a message, and")
        return _dispatched(target, info.id if info else task_or_group)
    if info is None:
        _tell_ended(target, task_or_group, as_json=as_json)
        return FAILED
    if abandon:
        target.app("--abandon may send messages, and")
        if not yes:
            click.confirm(f"Fail {info.body_task} {info.body}?", abort=True, err=True)
        return PASSED if target.admin.abandon(info.id) else FAILED
    if as_json:
        write_json(msgspec.to_builtins(info))
    else:
        click.echo("\n".join(_lines(info)))
    return PASSED


def _tell_ended(target: Target, task_or_group: str, *, as_json: bool) -> None:
    body = target.admin.result(task_or_group)
    group_id = body.header if body and body.header else task_or_group
    try:
        ended = target.admin.ended(group_id)
    except NotSupported:
        ended = None
    if as_json:
        write_json(msgspec.to_builtins(ended, enc_hook=str))
        return
    click.echo(f"{group_id} is not in flight: it has ended, has expired, or never began")
    if ended and (ended.body or body):
        click.echo(f"  body      {plain(ended.body or task_or_group)}")
    for each in ended.parts[:MOST] if ended else ():
        click.echo(
            f"  part      {plain(each.id)}  {state(each.state)}  {plain(each.task)}".rstrip()
        )
    if ended and len(ended.parts) > MOST:
        click.echo(f"  part      {len(ended.parts) - MOST:,} more")


def _dispatched(target: Target, group_id: str) -> int:
    outcome = target.admin.dispatch(group_id)
    click.echo(
        {
            Outcome.CLAIMED: "dispatched",
            Outcome.WAITING: "parts are missing: nothing was done",
            Outcome.CLOSED: "it was dispatched before",
        }.get(outcome, "it is not in flight, or another process dispatches it")
    )
    return PASSED if outcome is Outcome.CLAIMED else FAILED


def _lines(info: ChordInfo) -> Iterator[str]:
    total = "?" if info.total is None else info.total
    yield f"{info.id}  {info.done} of {total} parts  {period(info.age)}".rstrip()
    yield f"  body      {plain(info.body_task)} {plain(info.body)}"
    if info.holder:
        since = period(info.holder.seconds) or "an unknown time"
        yield f"  claim     held by {plain(info.holder.task_id)} for {since}"
    for each in info.missing[:MOST]:
        yield f"  missing   {plain(each.id)}  {state(each.state)}  {plain(each.task)}".rstrip()
    if len(info.missing) > MOST:
        yield f"  missing   {len(info.missing) - MOST:,} more"
