"""A place where Celery runs: a folder, a broker, a store, workers in processes, and a client."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import redis
from celery import _state

from tests.e2e import diary
from tests.e2e.tasks import make_app
from tests.servers.process import KEEPER

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds that anything may take on a busy machine."""
TAIL = 6_000

T = TypeVar("T")
_numbers = itertools.count(1)


class Worker:
    """``celery worker`` under a keeper: it and all its children end with it, or with the tests."""

    def __init__(self, deployment: "Deployment", *arguments: str, **environment: str) -> None:
        self.deployment = deployment
        self.name = f"w{next(_numbers)}"
        self._ready = deployment.folder / f"ready-{self.name}"
        self._log = deployment.folder / f"{self.name}.log"
        command = [
            *(sys.executable, "-m", "celery", "-A", "tests.e2e.app", "worker", "-n", self.name),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            *("-l", "INFO", *arguments),
        ]
        with self._log.open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", KEEPER, str(os.getpid()), deployment.folder, *command],
                env=deployment.environment()
                | {"KVBACKENDS_E2E_READY": str(self._ready), **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.pid = int(self._keeper.stdout.readline() or 0)
        deployment.workers.append(self)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def ready(self) -> Self:
        """Wait until it takes tasks."""
        self.deployment.until(
            lambda: self._ready.exists() or not self.alive(), "the worker is ready"
        )
        assert self.alive(), self.log()[-TAIL:]
        return self

    def alive(self) -> bool:
        return self._keeper.poll() is None

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def stop(self) -> None:
        """Kill it and all its children."""
        self._keeper.terminate()
        self.gone()

    def gone(self) -> None:
        """Wait until the last of its processes has ended."""
        self._keeper.wait(PATIENCE)
        self._keeper.stdout.close()


class Deployment:
    """One app, its client in this process, and the workers that a test starts."""

    def __init__(self, folder: Path, broker: str, store: str, **settings: Any) -> None:
        self.folder = folder
        self.broker = broker
        self.store = store
        self.settings = {"task_default_queue": f"e2e-{folder.name}-{os.getpid()}", **settings}
        self.workers: list[Worker] = []
        self.app = make_app(broker, store, self.settings)
        self.tasks = self.app.tasks

    def environment(self) -> dict[str, str]:
        """What a process of this deployment has in its environment."""
        app = {"broker": self.broker, "backend": self.store, "settings": self.settings}
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
            diary.FOLDER: str(self.folder),
            "KVBACKENDS_E2E_APP": json.dumps(app),
        }

    def worker(self, *arguments: str, **environment: str) -> Worker:
        """Start a worker; it is ready when this returns."""
        return self.starting(*arguments, **environment).ready()

    def starting(self, *arguments: str, **environment: str) -> Worker:
        """Start a worker and do not wait for it."""
        return Worker(self, *arguments, **environment)

    def script(self, script: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """A Python script in a process of its own; `finish` waits for it."""
        command = [sys.executable, "-c", f"import sys\n{script}", *arguments]
        return subprocess.Popen(
            [sys.executable, "-I", KEEPER, str(os.getpid()), self.folder, *command],
            env=self.environment() | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *arguments: str, **environment: str) -> str:
        """The last line that a script printed; it must come to its end and print something."""
        return finish(self.script(script, *arguments, **environment))

    def sig(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """A signature of one of our tasks."""
        return self.tasks[f"e2e.{name}"].s(*args, **kwargs)

    def said(self, event: str, **what: Any) -> list[dict[str, Any]]:
        """The lines of the diary."""
        return diary.read(self.folder, event, **what)

    def published(self, body: str) -> int:
        """How often a chord's body was published; waits for the first time.

        A body may have ended before the process that published it could say so.
        """
        return len(self.until(lambda: self.said("published", id=body), f"{body} is published"))

    def let_go(self, name: str) -> None:
        """Let a task or trap that waits for the test go on."""
        (self.folder / f"go-{name}").touch()

    def until(self, condition: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
        """Wait for a condition; its value."""
        deadline = time.monotonic() + patience
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {what}\n{self.logs()}")
            time.sleep(0.01)
        return value

    def logs(self) -> str:
        """The ends of all workers' logs."""
        return "\n".join(f"--- {each.name}\n{each.log()[-TAIL:]}" for each in self.workers)

    def meta(self, task_id: str) -> dict[str, Any]:
        """The stored record, past every cache."""
        return self.app.backend.get_task_meta(task_id, cache=False)

    def state(self, task_id: str) -> str:
        return self.meta(task_id)["status"]

    def redeliver(self) -> None:
        """Redis only: let what was not acknowledged be delivered again now."""
        client = redis.Redis.from_url(self.broker)
        for tag in client.zrange("unacked_index", 0, -1):
            client.zadd("unacked_index", {tag: 1}, xx=True)
        client.close()

    def close(self) -> None:
        """End all workers, and let go of the broker and the store."""
        for worker in self.workers:
            with suppress(ProcessLookupError):
                worker.signal(signal.SIGCONT)
            worker.stop()
        self.app.backend.waiters.close()
        self.app.backend.store.close()
        self.app.close()


def finish(script: "subprocess.Popen[str]", patience: float = PATIENCE) -> str:
    """Wait for a script's end; the last line that it printed."""
    try:
        _, said = script.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        script.terminate()
        _, said = script.communicate()
        raise AssertionError(f"the script hangs:\n{said[-TAIL:]}") from None
    lines = said.strip().splitlines()
    assert lines, "the script said nothing"
    assert not any(line.startswith("Traceback") for line in lines), said[-TAIL:]
    return lines[-1]


@contextmanager
def current(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment's app is this process's current one, and everything ends with it."""
    before = _state._tls.current_app
    deployment.app.set_current()
    try:
        yield deployment
    finally:
        _state._set_current_app(before)
        deployment.close()
