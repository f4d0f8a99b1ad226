"""Backends of Celery's own, in place of a server: their calls are counted, and some fail."""

from typing import Any, ClassVar

from celery.backends.base import BaseBackend, KeyValueStoreBackend
from celery.exceptions import ImproperlyConfigured


class OldBackend(KeyValueStoreBackend):
    """Keeps keys in this process, and reads many at once."""

    values: ClassVar[dict[bytes, Any]] = {}
    calls: ClassVar[list[tuple[str, Any]]] = []
    away: ClassVar[bool] = False

    def get(self, key):
        self.calls.append(("get", key))
        if self.away:
            raise ConnectionError("away")
        return self.values.get(key)

    def mget(self, keys):
        self.calls.append(("mget", tuple(keys)))
        if self.away:
            raise ConnectionError("away")
        return [self.values.get(key) for key in keys]

    def set(self, key, value):
        self.calls.append(("set", key))
        self.values[key] = value

    def on_chord_part_return(self, request, state, result, **kwargs):
        self.calls.append(("part", (request.id, state)))
        if self.away:
            raise ConnectionError("away")

    def add_to_chord(self, chord_id, result):
        self.calls.append(("add", chord_id))

    def ensure(self, fun, args, **policy):
        return fun(*args)

    connection_errors = (ConnectionError,)


class RowsBackend(BaseBackend):
    """Keeps rows, without keys, reads one at a time, and knows no groups."""

    rows: ClassVar[dict[str, Any]] = {}

    def _get_task_meta_for(self, task_id):
        return self.rows.get(task_id) or {"status": "PENDING", "result": None}


class LackingBackend(BaseBackend):
    """Has no driver."""

    def __init__(self, *args, **kwargs):
        raise ImproperlyConfigured("install its driver")
