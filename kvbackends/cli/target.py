"""Which store a command works on, and how it reports what cannot be done."""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import click
from celery.app.utils import find_app
from celery.exceptions import ImproperlyConfigured

from kvbackends import KVBackendsError
from kvbackends.admin import Admin
from kvbackends.cli import CANNOT_RUN
from kvbackends.contract.url import StoreURL


class CannotRun(Exception):
    """The command cannot run; the message says why, and what to do."""


class Target(NamedTuple):
    """The words and the app of a command line."""

    admin: Admin
    words: Sequence[str]
    """The words that are not the store's URL: ids."""
    has_app: bool

    def app(self, why: str) -> Any:
        """The application; raises `CannotRun` if only a URL was given."""
        if not self.has_app:
            raise CannotRun(f"{why} needs the application: give it with -A")
        return self.admin.app


def on_store(words: str = "[URL]") -> Callable[[Callable[..., int | None]], Callable[..., None]]:
    """Make a command of a function `(target, **options)`; it may return its exit status."""

    def decorate(function: Callable[..., int | None]) -> Callable[..., None]:
        @click.argument("words", metavar=words, nargs=-1)
        @click.option("-A", "--app", help="The Celery application; else that of CELERY_APP.")
        @functools.wraps(function)
        def run(words: tuple[str, ...], app: str | None, **options: Any) -> None:
            reported([*words], lambda: _called(function, words, app, options))

        return run

    return decorate


def reported(urls: Sequence[str], call: Callable[[], int | None]) -> None:
    """Exit with the status of `call`; an error is one line without secrets, and status 2."""
    try:
        status = call()
    except BrokenPipeError:
        raise  # click ends the command in silence, as `head` expects
    except (KVBackendsError, ImproperlyConfigured, CannotRun, OSError) as error:
        text = _redacted(str(error) or type(error).__name__, urls)
        click.echo(f"kvbackends: {text}", err=True)
        status = CANNOT_RUN
    except KeyboardInterrupt:
        status = 130
    sys.exit(status or 0)


def _called(
    function: Callable[..., int | None],
    words: Sequence[str],
    app: str | None,
    options: dict[str, Any],
) -> int | None:
    urls = [each for each in words if "://" in each]
    app = chosen_app(urls, app)
    admin = opened(urls, app)
    try:
        ids = [each for each in words if "://" not in each]
        return function(Target(admin, ids, app is not None), **options)
    finally:
        admin.close()


def chosen_app(urls: Sequence[str], app: str | None) -> str | None:
    """The application: as given, or the environment's where no URL is."""
    return app or (None if urls else os.environ.get("CELERY_APP"))


def opened(urls: Sequence[str], app: str | None) -> Admin:
    """The operators' side of the app, or of the one URL."""
    if len(urls) > 1 or bool(urls) == (app is not None):
        raise CannotRun("name one store: its URL, or the Celery application with -A")
    if app is None:
        return Admin.open(urls[0])
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as the command `celery` does
    try:
        return Admin(find_app(app))
    except (ImportError, AttributeError) as error:
        raise CannotRun(f"the application {app!r} cannot be loaded: {error}") from error


def _redacted(text: str, urls: Sequence[str]) -> str:
    for each in urls:
        if "://" in each:
            url = StoreURL.parse(each)
            text = url.redacted(text).replace(each.removeprefix("kv+"), str(url))
    return text
