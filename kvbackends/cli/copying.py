"""``kvbackends copy``."""

import sys
from datetime import datetime

import click
import msgspec

from kvbackends.admin import Wanted
from kvbackends.admin.copying import Copied, Copy
from kvbackends.cli import FAILED, PASSED
from kvbackends.cli.output import Moment, plain, write_json
from kvbackends.cli.target import CannotRun, chosen_app, opened, reported


@click.command(epilog="Example: kvbackends copy redis://old/0 kv+sqlite:////var/lib/app/results.db")
@click.argument("source")
@click.argument("target", required=False)
@click.option("-A", "--app", help="The application whose store is the target; else CELERY_APP.")
@click.option("--state", help="Only results in this state.")
@click.option("--task", help="Only results of this task.")
@click.option("--older-than", type=Moment(), metavar="TIME", help="Done before: 2h, or a date.")
@click.option("--newer-than", type=Moment(), metavar="TIME", help="Done since: 7d, or a date.")
@click.option("--dry-run", is_flag=True, help="Count only.")
@click.option("--verify", is_flag=True, help="Read back what was written.")
@click.option("--json", "as_json", is_flag=True, help="Write the counts as JSON.")
def copy(
    source: str,
    target: str | None,
    app: str | None,
    state: str | None,
    task: str | None,
    older_than: datetime | None,
    newer_than: datetime | None,
    dry_run: bool,
    verify: bool,
    as_json: bool,
) -> None:
    """Copy results, and groups, with what is left of their time to live.

    SOURCE is a store that lists. Without kv+ in front, mongodb://, cassandra://, db+... and file://
    are what Celery's own backends wrote; redis:// and elasticsearch:// are the same for both.
    TARGET is a store, or left out with -A. Again is safe: a record never replaces a better one.
    Groups are copied unless results are filtered.

    Exit status: 0 everything is in the target, 1 something was refused or differs.
    """
    wanted = Wanted(state=state, task=task, since=newer_than, until=older_than)

    def run() -> int:
        urls = [target] if target else []
        chosen = chosen_app(urls, app)
        if bool(target) == bool(chosen):
            raise CannotRun("name the target: its URL, or the application with -A")
        admin = opened(urls, chosen)
        try:
            done = Copy(admin.backend, dry_run=dry_run, verify=verify).run(source, wanted, _draw)
        finally:
            admin.close()
        _tell(done, dry_run=dry_run, as_json=as_json)
        return PASSED if done.ok else FAILED

    reported([source, *([target] if target else [])], run)


def _draw(done: Copied) -> None:
    if sys.stderr.isatty():
        rate = done.seen / max(done.seconds, 0.001)
        click.echo(f"\r{done.seen:,} records, {rate:,.0f} a second ", nl=False, err=True)


def _tell(done: Copied, *, dry_run: bool, as_json: bool) -> None:
    if sys.stderr.isatty():
        click.echo("", err=True)
    if as_json:
        write_json(msgspec.to_builtins(done))
        return
    copied = "would be copied" if dry_run else "copied"
    counts = {
        copied: done.copied,
        "present": done.present,
        "expired": done.expired,
        "refused": done.refused,
        "differ": done.differ,
    }
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    click.echo(f"{told} in {done.seconds:.1f} s")
    for each in done.problems:
        click.echo(f"  refused: {plain(each)}", err=True)
