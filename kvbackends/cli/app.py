"""The command and its subcommands."""

import click

from kvbackends import __version__
from kvbackends.cli.conformance import conformance


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kvbackends")
def command() -> None:
    """Result backends for Celery on any key-value store."""


command.add_command(conformance)
