"""The Celery application of the area `backend`, made alike in the check's process and its worker.

Messages are files in the check's folder.  The worker reads its configuration from the environment.
"""

import json
import os
import time
import uuid
from importlib import import_module
from pathlib import Path
from typing import Any

from celery import Celery
from kombu import transport
from kombu.transport import filesystem
from kombu.utils.json import dumps

from kvbackends import register
from kvbackends.backend import BaseKeyValueStoreBackend
from kvbackends.layers.only_five import OnlyFive

CONFIGURATION = "KVBACKENDS_TESTING_WORKER"
"""The environment variable with the arguments of `make`, as JSON."""

POLL = 0.02
"""Seconds between two reads of an empty folder."""
EXPIRES = 120
"""Seconds that a result is kept."""


class Channel(filesystem.Channel):
    """Writes each message atomically; with kombu's own channel a reader may see half of one."""

    def _put(self, queue: str, payload: Any, **_: Any) -> None:  # type: ignore[override]
        name = f"{time.monotonic_ns()}_{uuid.uuid4()}.{queue}"
        draft = Path(self.data_folder_out, f"{name}.draft")
        draft.write_text(dumps(payload))
        draft.rename(draft.with_suffix(".msg"))


class Transport(filesystem.Transport):
    """kombu's transport with this channel."""

    Channel = Channel


transport.TRANSPORT_ALIASES["kvtfiles"] = f"{__name__}:Transport"


class Derived(BaseKeyValueStoreBackend):
    """The backend on a store without its overrides of derived operations."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.store = OnlyFive(self.store)
        self.has_facets = False


class Boom(Exception):
    """Raised by the failing task."""


def make(
    url: str, derived: bool, settings: dict[str, Any], folder: str, module: str, prefix: str
) -> Any:
    """Return the application, whose keys begin with `prefix`.

    `module` is imported and registered first: it has the adapter.
    """
    plugin = import_module(module)
    if hasattr(plugin, "kvbackends_adapters"):
        register(plugin)
    app = Celery("kvbackends-testing", set_as_current=False)
    options = {**settings.get("result_backend_transport_options", {})}
    options.setdefault("global_keyprefix", prefix)
    app.conf.update({**settings, "result_backend_transport_options": options})
    app.conf.update(
        result_backend=f"{__name__}:Derived+{url}" if derived else f"kv+{url}",
        result_expires=EXPIRES,
        result_chord_expires=EXPIRES,
        broker_url="kvtfiles://",
        broker_transport_options=_folders(Path(folder)),
        broker_connection_retry_on_startup=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_lost_wait=0.5,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
    )
    _add_tasks(app)
    return app


def _folders(folder: Path) -> dict[str, Any]:
    names = ("messages", "done", "control")
    messages, processed, control = (folder / name for name in names)
    for each in (messages, processed, control):
        each.mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "processed_folder": str(processed),
        "store_processed": True,
        "control_folder": str(control),
        "polling_interval": POLL,
    }


def _add_tasks(app: Any) -> None:
    @app.task(name="kvt.add", shared=False)
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(name="kvt.total", shared=False)
    def total(values: list[int]) -> int:
        return sum(values)

    @app.task(name="kvt.fail", shared=False)
    def fail(text: str) -> None:
        raise Boom(text)

    @app.task(name="kvt.die_once", shared=False)
    def die_once(mark: str, value: int) -> int:
        """Write the process id to `mark` and wait to be killed; return `value` when run again."""
        path = Path(mark)
        if path.exists():
            return value
        draft = path.with_suffix(".draft")
        draft.write_text(str(os.getpid()))
        draft.rename(path)
        while True:
            time.sleep(POLL)


if CONFIGURATION in os.environ:
    app = make(**json.loads(os.environ[CONFIGURATION]))
