"""The command ``celery results``, and what ``celery report`` prints of a result backend.

Celery imports this module with its own command (entry-point group ``celery.commands``).  So it
imports little.
"""

import sys
from contextlib import suppress
from typing import Any

import click
from celery.signals import import_modules


@click.command("results")
@click.pass_obj
def results(context: Any) -> None:
    """Print where this application's results are stored, and ask the store whether it answers."""
    backend = context.app.backend
    click.echo(backend.as_uri())
    backend.store.ping()
    click.echo("the store answers")


def open_first(sender: Any, **_: Any) -> None:
    """Open the backend of the app `sender` before ``celery report`` prints its settings.

    Then they have the absolute path of the results, and no secret among the URL's options.
    """
    if str(sender.conf.result_backend).startswith("kv+"):
        with suppress(Exception):  # a report is of use where the backend is not
            sender.backend  # noqa: B018 - a property that opens it


if "report" in sys.argv:
    import_modules.connect(open_first)
