"""Tells users in which place results are stored, where processes may have different ones.

A relative SQLite path means another file in each directory, and memory is a process's own: then a
client waits for results that are stored elsewhere.
"""

import logging
from collections.abc import MutableMapping
from pathlib import Path
from threading import local
from typing import Any

from celery.signals import before_task_publish, task_received, worker_ready

from kvbackends.backend.compat import connect, is_prefork
from kvbackends.contract.records import Feature
from kvbackends.contract.store import Store
from kvbackends.contract.url import StoreURL
from kvbackends.layers.layer import innermost

logger = logging.getLogger("kvbackends")

FILE = "kvbackends_file"
"""Header of a task's message: the client's `folder_id`, a blank, and its URL."""


class Place:
    """Where one backend stores results.

    Args:
        app: The backend's.
        store: The backend's.
        url: The store's, whose path is absolute.
    """

    def __init__(self, app: Any, store: Store, url: StoreURL) -> None:
        self._app = app
        self._store = store
        self._url = url
        self._called = local()
        self._told: set[str] = set()
        connect(worker_ready, self._is_ready)
        if _is_file(store):
            connect(before_task_publish, self._publishes)
            connect(task_received, self._receives)

    def calls(self, task_id: str) -> None:
        """Note that this thread is about to publish the task."""
        self._called.task_id = task_id

    def _is_ready(self, sender: Any, **_: Any) -> None:
        """The worker `sender` has started."""
        if sender.app is not self._app:
            return
        logger.info("results are stored in kv+%s", self._url)
        if Feature.SHARED not in self._store.features and is_prefork(sender.pool):
            logger.warning(
                "kv+%s: each process of this worker keeps its results in its own memory, where no "
                "other process finds them. Use kv+sqlite:////var/lib/app/results.db or a server, "
                "or start the worker with --pool=solo in the process that reads the results",
                self._url,
            )

    def _publishes(self, headers: MutableMapping[str, Any], **_: Any) -> None:
        """Put the place into the message of a task that this backend's app sends."""
        if headers.get("id") == getattr(self._called, "task_id", None):
            headers[FILE] = f"{folder_id(self._url)} kv+{self._url}"

    def _receives(self, sender: Any, request: Any, **_: Any) -> None:
        """Warn once if the client of a message reads another file."""
        theirs = request.request_dict.get(FILE)
        if theirs is None or theirs in self._told or sender.app is not self._app:
            return
        self._told.add(theirs)
        their_id, _, their_url = theirs.partition(" ")
        if folder_id(self._url) not in {their_id, ""}:
            logger.warning(
                "%s reads results from %s, and this worker stores them in kv+%s, which is another "
                "file: give both the same absolute path, kv+sqlite:////var/lib/app/results.db",
                request.request_dict.get("origin") or "a client",
                their_url,
                self._url,
            )


def _is_file(store: Store) -> bool:
    located: Any = type(innermost(store)).located
    return located.__func__ is not Store.located.__func__  # type: ignore[attr-defined]


def folder_id(url: StoreURL) -> str:
    """What identifies the folder of the file, under whatever path; empty if there is none."""
    try:
        found = Path(url.path).parent.stat()
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"
