"""Lists the records of Celery's own backends, and encodes them as kvbackends stores them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from celery import states

from kvbackends.backend.backend import BaseKeyValueStoreBackend
from kvbackends.backend.results import text

_FIRST = ("status", "result", "traceback", "children", "date_done")
"""Celery's order: the rank is read from the first bytes."""
_AT_ONCE = 500
_ABSENT = {"group_id", "parent_id", "name", "args", "kwargs", "worker", "retries", "queue"}
"""Fields that a record has only if they have a value."""


def encoded(source: Any, target: BaseKeyValueStoreBackend, task_id: str) -> bytes | None:
    """The record that `source` has of the task, as `target` encodes it; None: it has none."""
    meta = source._get_task_meta_for(task_id)
    if meta is None or (meta["status"] == states.PENDING and not meta.get("date_done")):
        return None
    return target._payload(_record(meta, target, task_id))


def encoded_group(source: Any, target: BaseKeyValueStoreBackend, group_id: str) -> bytes | None:
    """The group that `source` has saved, as `target` encodes it; None: it has none."""
    result = source.restore_group(group_id, cache=False)
    if isinstance(result, Mapping):  # MongoDB's own form
        result = result.get("result")
    if result is None:
        return None
    if isinstance(result, list):  # MongoDB's, too
        result = source.app.GroupResult(group_id, result)
    value = target.encode({"result": result.as_tuple()})
    return value.encode() if isinstance(value, str) else bytes(value)


def _record(
    meta: Mapping[str, Any], target: BaseKeyValueStoreBackend, task_id: str
) -> dict[str, Any]:
    state, done = meta["status"], meta.get("date_done")
    record: dict[str, Any] = dict.fromkeys(_FIRST)
    record.update(meta)
    record["result"] = target.encode_result(meta.get("result"), state)
    record["children"] = meta.get("children") or []
    record["date_done"] = done.isoformat() if isinstance(done, datetime) else done
    record["task_id"] = task_id
    return {
        name: value for name, value in record.items() if name not in _ABSENT or value is not None
    }


Ids = tuple[Iterator[str], Iterator[str]]
"""Of all tasks, and of all groups."""


def close(backend: Any) -> None:
    """Close the connections of one of Celery's backends."""
    for name, method in (("_connection", "close"), ("_cluster", "shutdown"), ("client", "close")):
        # `getattr` would make a client where there is none yet.
        if (connection := backend.__dict__.get(name)) is not None:
            getattr(connection, method)()
    if (pool := getattr(backend.__dict__.get("client"), "connection_pool", None)) is not None:
        _close_redis(backend.result_consumer, pool)
    if (manager := getattr(backend, "session_manager", None)) is not None:  # a database's
        manager.invalidate(backend.url)


def _close_redis(consumer: Any, pool: Any) -> None:
    consumer.stop()
    consumer._pubsub = None  # else a result that is collected later connects again
    pool.disconnect()  # Celery made it, so the client's `close` leaves it open


def _of_database(backend: Any) -> Ids:
    def read(column: Any) -> Iterator[str]:
        with closing(backend.ResultSession()) as session:
            for (each,) in session.query(column).yield_per(_AT_ONCE):
                yield each

    return read(backend.task_cls.task_id), read(backend.taskset_cls.taskset_id)


def _of_mongodb(backend: Any) -> Ids:
    def read(collection: Any) -> Iterator[str]:
        return (str(each["_id"]) for each in collection.find({}, {"_id": 1}))

    return read(backend.collection), read(backend.group_collection)


def _of_cassandra(backend: Any) -> Ids:
    def read() -> Iterator[str]:
        backend._get_connection()
        table = f"{backend.keyspace}.{backend.table}"
        statement = f"SELECT DISTINCT task_id FROM {table}"  # noqa: S608 - an operator's own names
        yield from (str(row[0]) for row in backend._session.execute(statement))

    return read(), iter(())


def _of_files(backend: Any) -> Ids:
    def read(prefix: Any) -> Iterator[str]:
        start = text(prefix)
        names = (each.name for each in Path(text(backend.path)).iterdir())
        return (each.removeprefix(start) for each in names if each.startswith(start))

    return read(backend.task_keyprefix), read(backend.group_keyprefix)


CELERYS: Mapping[str, Callable[[Any], Ids]] = {
    "db": _of_database,
    "mongodb": _of_mongodb,
    "cassandra": _of_cassandra,
    "file": _of_files,
}
"""By scheme: what lists the ids in a backend whose records have another form than those here."""
