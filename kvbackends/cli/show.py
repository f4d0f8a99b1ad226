"""``kvbackends show``."""

from collections.abc import Iterator, Sequence
from typing import Any

import click
import msgspec

from kvbackends.admin import Node, ResultDetail
from kvbackends.cli import FAILED, PASSED
from kvbackends.cli.output import COLOURS, period, plain, write_json
from kvbackends.cli.target import CannotRun, Target, on_store

LONGEST = 2000
"""Characters of a value that are shown."""
_NOT_THERE = (
    "PENDING, expired, or a group that was not saved; if it is the body of a chord in flight, "
    "`kvbackends chord` shows it"
)
_KEPT = ("args", "kwargs", "queue", "retries", "worker")


@click.command(epilog="Example: kvbackends show -A proj 9c6b4a0e-2f6d-4a86-a0f4-2d4a3f5c7a11")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@on_store("[URL] ID...")
def show(target: Target, as_json: bool) -> int:
    """Show results with their arguments, traceback and children; or saved groups, as trees.

    Exit status: 0 all are there, 1 one is not.
    """
    if not target.words:
        raise CannotRun("which result? Give the task's id")
    admin = target.admin
    found = [admin.result(each) or admin.group(each) for each in target.words]
    if as_json:
        write_json([each and msgspec.to_builtins(each, enc_hook=str) for each in found])
    else:
        for task_id, each in zip(target.words, found, strict=True):
            click.echo("\n".join(_lines(task_id, each)))
    return PASSED if all(found) else FAILED


def _lines(task_id: str, found: ResultDetail | Node | None) -> Iterator[str]:
    if found is None:
        return iter([f"{plain(task_id)}: {_NOT_THERE}"])
    return tree([found], "") if isinstance(found, Node) else lines(found)


def lines(detail: ResultDetail) -> Iterator[str]:
    """The lines that show a result."""
    info, record = detail.info, detail.record
    yield f"{info.id}  {state(info.state)}  {info.task}".rstrip()
    facts = {
        "done": info.done and info.done.astimezone().isoformat(" ", "seconds"),
        "expires in": period(detail.expires_in),
        "parent": detail.parent,
        "group": detail.group,
        "chord": detail.chord and f"its body is {detail.chord}",
        "header": detail.header and f"{detail.header} (kvbackends chord)",
        **{name: record.get(name) for name in _KEPT},
        "size": f"{info.size:,} bytes",
        "result": _shown(record.get("result")),
    }
    for name, value in facts.items():
        if value not in (None, "", [], {}):
            yield f"  {name:<11}{plain(_cut(str(value)))}"
    if record.get("traceback"):
        yield "  traceback"
        yield from (f"    {line}" for line in plain(str(record["traceback"])).splitlines())
    if detail.children:
        yield "  children"
        yield from tree(detail.children, "    ")


def tree(nodes: Sequence[Node], indent: str) -> Iterator[str]:
    """The lines of a tree of tasks and groups."""
    for each in nodes:
        kind = "group" if each.is_group else state(each.state)
        yield f"{indent}{plain(each.id)}  {kind}  {plain(each.task)}".rstrip()
        yield from tree(each.children, indent + "  ")


def state(name: str) -> str:
    """The state in its colour."""
    return click.style(plain(name), fg=COLOURS.get(name))


def _shown(result: Any) -> str:
    """The result, or the exception as Celery stores it."""
    if isinstance(result, dict) and "exc_type" in result:
        message = result.get("exc_message")
        args = message if isinstance(message, list | tuple) else [message]
        return f"{result['exc_type']}({', '.join(map(repr, args))})"
    return repr(result)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text):,} characters)"
