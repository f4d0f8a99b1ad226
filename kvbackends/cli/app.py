"""The command and its subcommands, each imported when it is used or when all are listed."""

import sys
from importlib import import_module
from importlib.util import find_spec

import click

from kvbackends import __version__
from kvbackends.cli import CANNOT_RUN, INSTALL, NEEDED

COMMANDS = {
    "results": ("results", "List results, the newest first."),
    "show": ("show", "Show one result, its traceback and its children."),
    "count": ("results", "Count results by state, task or worker."),
    "delete": ("results", "Delete results."),
    "tail": ("watch", "Show results as they come."),
    "watch": ("watch", "Follow tasks, a group or a chord until they end."),
    "chords": ("chords", "List the chords in flight."),
    "chord": ("chords", "Show one chord; dispatch or abandon it."),
    "again": ("again", "Send tasks again, with the same arguments."),
    "orphans": ("again", "List unfinished tasks whose worker does not answer."),
    "check": ("store", "Probe a store: can workers use it?"),
    "sweep": ("store", "Remove expired records."),
    "stores": ("store", "List the stores that are installed, and what could be."),
    "web": ("web", "Show results, chords and health in a browser."),
    "copy": ("copying", "Copy results and groups from one store to another."),
    "new": ("new", "Begin an adapter."),
    "conformance": ("conformance", "Prove that stores keep the contract."),
}
"""Name -> module and summary."""


class _Lazy(click.Group):
    """Imports a subcommand's module only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name == "conformance":
            _check_installed()
        module = import_module(f"kvbackends.cli.{COMMANDS[cmd_name][0]}")
        found: click.Command = getattr(module, cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def _check_installed() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"kvbackends: {', '.join(missing)} not installed; run: {INSTALL}\n")
        sys.exit(CANNOT_RUN)


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kvbackends")
def command() -> None:
    """Result backends for Celery on any key-value store."""
