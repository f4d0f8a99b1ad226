"""A real Celery worker beside a check: started, and ended with all its processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from celery import _state

from kvbackends.contract.url import StoreURL
from kvbackends.plugins.registry import adapter_for
from kvbackends.testing.celery_app import CONFIGURATION, make

PATIENCE = 30.0
"""Seconds in which a worker has started and done anything that a check asks for."""


class Job(NamedTuple):
    """An application, and the worker that runs its tasks."""

    app: Any
    folder: Path

    def task(self, name: str) -> Any:
        """One of the tasks of `celery_app`."""
        return self.app.tasks[f"kvt.{name}"]

    def result(self, pending: Any) -> Any:
        """Its result, waited for in bounded time; an error is raised, with the worker's log."""
        try:
            return pending.get(timeout=PATIENCE)
        except Exception as error:
            error.add_note(self.log())
            raise

    def log(self) -> str:
        """The end of what the worker printed."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]


@contextlib.contextmanager
def working(url: str, derived: bool, settings: dict[str, object], folder: Path) -> Iterator[Job]:
    """A worker with two pool processes on the store at `url`; nothing of it is left afterwards."""
    process = _start(json.dumps(_arguments(url, derived, settings, folder)), folder)
    try:
        with application(url, derived, settings, folder) as app:
            yield Job(app, folder)
    finally:
        _stop(process)


@contextlib.contextmanager
def application(
    url: str, derived: bool, settings: dict[str, object], folder: Path
) -> Iterator[Any]:
    """The application alone, while it is Celery's current one."""
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
        "module": adapter_for(StoreURL.parse(url).scheme).store.__module__,
    }


def _start(configuration: str, folder: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "celery", "--app", "kvbackends.testing.celery_app", "worker"]
    command += ["--pool=prefork", "--concurrency=2", "--loglevel=INFO", "--hostname=kvt@localhost"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - our own interpreter
            command,
            # Stores that are registered by a module beside the tests are found there, too.
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
    """At once, with all that it started: nothing that a check asked for is left to be done."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def _current(app: Any) -> Iterator[Any]:
    """The application is Celery's current one, for signatures that name none."""
    before = _state._tls.current_app, _state.default_app  # noqa: SLF001 - no other way back
    app.set_current()
    app.set_default()
    try:
        yield app
    finally:
        app.backend.store.close()
        app.close()
        _state._tls.current_app, _state.default_app = before  # noqa: SLF001
