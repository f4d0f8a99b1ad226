"""Starts a Celery worker for a check, and ends it with all its processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from celery import _state

from kvbackends.contract.url import StoreURL
from kvbackends.plugins.registry import plugin_of
from kvbackends.testing.celery_app import CONFIGURATION, make
from kvbackends.testing.leftovers import PREFIXES

PATIENCE = 30.0
"""Seconds in which a worker starts, and runs any task of a check."""


class Job(NamedTuple):
    """An application, and the worker that runs its tasks."""

    app: Any
    folder: Path

    def task(self, name: str) -> Any:
        """Return a task of `celery_app` by its short name."""
        return self.app.tasks[f"kvt.{name}"]

    def result(self, pending: Any) -> Any:
        """Return the result, waiting at most `PATIENCE` seconds; errors carry the worker's log."""
        try:
            return pending.get(timeout=PATIENCE)
        except Exception as error:
            error.add_note(self.log())
            raise

    def log(self) -> str:
        """Return the end of the worker's output."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]


@contextlib.contextmanager
def working(url: str, derived: bool, settings: dict[str, object], folder: Path) -> Iterator[None]:
    """Run a worker with two pool processes on the store at `url`; it is killed afterwards.

    Its messages and its log are in `folder`; an `application` with the same folder reaches it.
    """
    process = _start(json.dumps(_arguments(url, derived, settings, folder)), folder)
    try:
        yield
    finally:
        _stop(process)


@contextlib.contextmanager
def application(
    url: str, derived: bool, settings: dict[str, object], folder: Path
) -> Iterator[Any]:
    """Make the application, and make it Celery's current one inside the `with` block."""
    with _current(make(**_arguments(url, derived, settings, folder))) as app:
        yield app


def _arguments(
    url: str, derived: bool, settings: dict[str, object], folder: Path
) -> dict[str, Any]:
    return {
        "url": url,
        "derived": derived,
        "settings": settings,
        "folder": str(folder),
        "prefix": PREFIXES[0],
        "module": _module_of(plugin_of(StoreURL.parse(url).scheme)),
    }


def _module_of(plugin: object) -> str:
    return plugin.__name__ if isinstance(plugin, ModuleType) else plugin.__module__


def _start(configuration: str, folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "celery", "--app", "kvbackends.testing.celery_app", "worker"]
    command += ["--pool=prefork", "--concurrency=2", "--loglevel=INFO", "--hostname=kvt@localhost"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - our own interpreter
            command,
            # The worker imports adapters from modules beside the tests, too.
            env={
                **os.environ,
                CONFIGURATION: configuration,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "TMPDIR": str(folder),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Kill the worker's process group: no task that is still running matters any more."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def _current(app: Any) -> Iterator[Any]:
    """Make the application Celery's current one, for signatures that name none."""
    before = _state._tls.current_app, _state.default_app  # noqa: SLF001 - no other way back
    app.set_current()
    app.set_default()
    try:
        yield app
    finally:
        app.backend.store.close()
        app.close()
        _state._tls.current_app, _state.default_app = before  # noqa: SLF001
