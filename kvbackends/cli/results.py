"""``kvbackends results``, ``count`` and ``delete``."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from kvbackends.admin import Wanted
from kvbackends.cli.output import Moment, formats, progress, table
from kvbackends.cli.target import CannotRun, Target, on_store

COLUMNS = ("id", "state", "task", "worker", "done", "size")


def filters(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which results are meant."""
    for option in (
        click.option("--until", type=Moment(), help="Done until then: 10m ago, or a date."),
        click.option("--since", type=Moment(), help="Done since then: 2h ago, or a date."),
        click.option("--worker", help="The host name of its worker."),
        click.option("--task", help="The task's name."),
        click.option("--failed", is_flag=True, help="Short for --state FAILURE."),
        click.option("--state", help="SUCCESS, FAILURE, STARTED, ..."),
    ):
        function = option(function)
    return function


def wanted(
    *,
    state: str | None,
    failed: bool,
    task: str | None,
    worker: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Wanted:
    """The filter that the options stand for."""
    return Wanted(
        state="FAILURE" if failed else state, task=task, worker=worker, since=since, until=until
    )


@click.command(epilog="Example: kvbackends results -A proj --failed --since 2h")
@filters
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="Most rows.")
@click.option(
    "--sort",
    type=click.Choice(COLUMNS),
    default="done",
    show_default=True,
    help="What the first rows are chosen by: the newest, the largest size, or the first text.",
)
@click.option("--cursor", help="Where the previous list ended.")
@formats
@on_store()
def results(
    target: Target,
    limit: int,
    sort: str,
    cursor: str | None,
    as_json: bool,
    as_csv: bool,
    **asked: Any,
) -> None:
    """List results, the newest first; unfinished tasks come before all.

    Task and worker are known of results that were stored with `result_extended`.
    """
    if cursor and sort != "done":
        raise CannotRun("--cursor goes on with the newest: it cannot be given with --sort")
    which = wanted(**asked)
    page = target.admin.results(
        state=which.state,
        task=which.task,
        worker=which.worker,
        since=which.since,
        until=which.until,
        limit=limit,
        cursor=cursor,
        sort=sort,
    )
    rows = ([getattr(each, name) for name in COLUMNS] for each in page.results)
    table(COLUMNS, rows, as_json=as_json, as_csv=as_csv)
    if page.cursor:
        click.echo(f"more: --cursor '{page.cursor}'", err=True)


@click.command(epilog="Example: kvbackends count redis://localhost --by task --failed")
@filters
@click.option(
    "--by",
    type=click.Choice(["state", "task", "worker"]),
    default="state",
    show_default=True,
    help="What is counted.",
)
@formats
@on_store()
def count(target: Target, by: Any, as_json: bool, as_csv: bool, **asked: Any) -> None:
    """Count results by state, task or worker."""
    found = target.admin.count(by, wanted(**asked))
    table((by, "count"), found.most_common(), as_json=as_json, as_csv=as_csv)


@click.command(epilog="Example: kvbackends delete -A proj --state SUCCESS --until 7d --dry-run")
@filters
@click.option("--all", "everything", is_flag=True, help="Every result.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Count only.")
@on_store("[URL] [ID]...")
def delete(target: Target, everything: bool, yes: bool, dry_run: bool, **asked: Any) -> int:
    """Delete the results with these ids, or those that the options name; asks first."""
    which, ids = wanted(**asked), list(target.words) or None
    if bool(ids) + (which != Wanted()) + everything != 1:
        raise CannotRun("name the results: ids, options such as --state and --until, or --all")
    count = len(ids) if ids else target.admin.delete(which, dry_run=True, progress=_found)
    if dry_run or not count:
        click.echo(f"{count:,} results would be deleted" if count else "no such result")
        return 0
    if not yes:
        where = target.admin.backend.as_uri()
        click.confirm(f"Delete {count:,} results from {where}?", abort=True, err=True)
    deleted = target.admin.delete(which, ids=ids, progress=progress("deleted"))
    click.echo(f"{deleted:,} results deleted")
    return 0


_found = progress("found")
