"""``kvbackends again`` and ``kvbackends orphans``."""

from collections.abc import Iterator
from typing import Any

import click

from kvbackends.admin import ResultInfo, Wanted
from kvbackends.admin.again import lacking, send
from kvbackends.backend.broker import ask_broker
from kvbackends.cli import FAILED, PASSED
from kvbackends.cli.output import Period, formats, plain, table
from kvbackends.cli.results import filters, wanted
from kvbackends.cli.target import CannotRun, Target, on_store

RUNNING = ("STARTED", "PROGRESS")


@click.command(epilog="Example: kvbackends again -A proj --failed --task proj.mail --since 2h")
@filters
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent.")
@on_store("[ID]...")
def again(target: Target, yes: bool, dry_run: bool, **asked: Any) -> int:
    """Send tasks again: the same arguments and queue, as new tasks whose parents are the old ones.

    Needs -A, and records that were stored with `result_extended`.

    Exit status: 0 all were sent, 1 one could not be.
    """
    app, which = target.app("sending tasks"), wanted(**asked)
    if bool(target.words) == (which != Wanted()):
        raise CannotRun("name the tasks: ids, or options such as --failed and --task")
    ids = list(target.words) or [each.id for each in target.admin.each(which)]
    if not ids:
        click.echo("no such result")
        return PASSED
    if not (yes or dry_run):
        click.confirm(f"Send {len(ids):,} tasks again?", abort=True, err=True)
    if not dry_run:
        ask_broker(app)
    return PASSED if _all_sent(target, app, ids, dry_run=dry_run) else FAILED


def _all_sent(target: Target, app: Any, ids: list[str], *, dry_run: bool) -> bool:
    sent = 0
    try:
        for each in ids:
            sent += _sent(target, app, each, dry_run=dry_run)
    except BaseException:  # also Ctrl-C
        if not dry_run:
            click.echo(f"{sent:,} of {len(ids):,} tasks were sent before:", err=True)
        raise
    return sent == len(ids)


def _sent(target: Target, app: Any, task_id: str, *, dry_run: bool) -> bool:
    detail = target.admin.result(task_id)
    why = lacking(detail)
    if detail is None or why:
        click.echo(f"{plain(task_id)}: not sent: {why}", err=True)
        return False
    name = plain(detail.record["name"])
    if dry_run:
        click.echo(f"{task_id}  {name}  would be sent")
        return True
    click.echo(f"{task_id}  {name}  sent as {send(app, detail)}")
    return True


@click.command(epilog="Example: kvbackends orphans -A proj")
@click.option("--timeout", type=Period(), default="2s", show_default=True, help="For the answers.")
@formats
@on_store()
def orphans(target: Target, timeout: float, as_json: bool, as_csv: bool) -> int:
    """List tasks in STARTED or PROGRESS whose worker does not answer, and the chords that wait.

    Since when is known where the store tells how long a record is kept.

    Needs -A. Workers are known of records that were stored with `result_extended`.

    Exit status: 1 if there is one.
    """
    app = target.app("asking the workers")
    ask_broker(app)
    alive = {name for answer in app.control.ping(timeout=timeout) for name in answer}
    rows = [_row(target, each) for each in _lost(target, alive)]
    table(("id", "task", "worker", "since", "chord"), rows, as_json=as_json, as_csv=as_csv)
    return FAILED if rows else PASSED


def _lost(target: Target, alive: set[str]) -> Iterator[ResultInfo]:
    for state in RUNNING:
        for each in target.admin.each(Wanted(state=state)):
            if each.worker and each.worker not in alive:
                yield each


def _row(target: Target, info: ResultInfo) -> list[Any]:
    detail = target.admin.result(info.id)
    group = detail.group if detail else ""
    waits = group and target.admin.chord(group) is not None
    since = detail and target.admin.stored(detail)
    return [info.id, info.task, info.worker, since, group if waits else ""]
