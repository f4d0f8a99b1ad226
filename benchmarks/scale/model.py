"""Bytes and requests for each result, counted on a small load and checked on a larger one.

`docs/scaling.md` computes the number of nodes from them. The bytes and the requests are those that
the server's own statistics show.
"""

import contextlib
import functools
import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pymongo

from benchmarks import sizes
from benchmarks.backends import new_id, open_backend
from benchmarks.plan import Plan
from benchmarks.rows import Row, at_most, figure
from benchmarks.sizes import value_of
from benchmarks.stores import store_one
from tests.servers import SERVERS
from tests.servers.process import ask

FEW, MANY = 1_000, 5_000
"""Results on which the model is made, and on which it is checked."""
VALUE = value_of(200)
WITHIN = 0.2
WRITES = {
    "redis": 3,
    "memcached": 2,
    "mongodb": 1,
    "elasticsearch": 1,
    "cassandra": 1,
    "postgresql": 1,
}
"""Commands in the one request that stores a result: Redis counts those of a script, too."""
COUNTED = 11.0
"""Seconds after which PostgreSQL has counted what an idle connection has done, and Elasticsearch
counts its bytes anew."""


class Used(NamedTuple):
    """What a server has used so far."""

    bytes: int
    requests: int


def scenarios(versions: dict[str, str]) -> dict[str, Callable[[Plan], Iterator[Row]]]:
    """Return the measurement of each server by name; when it runs, it adds to `versions`."""
    return {f"{name}-model": functools.partial(_on, name, versions) for name in READERS}


def _on(name: str, versions: dict[str, str], _: Plan) -> Iterator[Row]:
    with SERVERS[name]() as server:
        versions[f"{name}-model"] = server.version
        backend = open_backend(f"kv+{server.url}")
        used = functools.partial(READERS[name], server)
        store_one(backend, "first", VALUE)
        start, _ids = used(), _store(backend, FEW)
        few = used()
        ids = _store(backend, MANY)
        many = used()
        for each in ids[:FEW]:
            backend.get_task_meta(each, cache=False)
        read = used()
        backend.store.close()
    model = (few.bytes - start.bytes) / FEW
    found = (many.bytes - few.bytes) / MANY
    yield figure("bytes for a result of 200", name, model, "B", None, f"of {FEW:,}")
    detail = f"{found:.0f} B each of {MANY:,} more"
    off = abs(found / model - 1)
    yield figure("bytes, beside the model", name, off * 100, "%", at_most(WITHIN * 100), detail)
    for what, spent, expected in (
        ("commands for a stored result", (many.requests - few.requests) / MANY, WRITES[name]),
        ("commands for a result that is read", (read.requests - many.requests) / FEW, 1),
    ):
        detail = f"{expected} by the model"
        yield figure(what, name, spent, "", at_most(expected * (1 + WITHIN)), detail)


def _store(backend: Any, count: int) -> list[str]:
    ids = [new_id() for _ in range(count)]
    for each in ids:
        store_one(backend, each, VALUE)
    return ids


def _redis(server: Any) -> Used:
    told = ask(server.port, b"INFO memory\r\nINFO stats\r\n")
    while b"total_commands_processed" not in told:
        told = ask(server.port, b"INFO everything\r\n")
    memory = int(re.findall(rb"used_memory_dataset:(\d+)", told)[0])
    own = memory + int(re.findall(rb"used_memory_overhead:(\d+)", told)[0])
    return Used(own, int(re.findall(rb"total_commands_processed:(\d+)", told)[0]))


def _memcached(server: Any) -> Used:
    told = ask(server.port, b"stats\r\n")
    counts = re.findall(rb"STAT (?:cmd_get|cmd_set) (\d+)", told)
    return Used(int(re.findall(rb"STAT bytes (\d+)", told)[0]), sum(map(int, counts)))


def _mongodb(server: Any) -> Used:
    with pymongo.MongoClient[dict[str, Any]](server.url) as client:
        database = client.get_default_database()
        client.admin.command("fsync")  # the sizes of indexes are those of the last checkpoint
        sizes = database.command("dbStats")
        counts = client.admin.command("serverStatus")["opcounters"]
    return Used(int(sizes["dataSize"] + sizes["indexSize"]), counts["update"] + counts["query"])


def _elasticsearch(server: Any) -> Used:
    place = http.client.HTTPConnection(urlsplit(server.url).netloc)
    with contextlib.closing(place):
        for path in ("_flush", "_forcemerge?max_num_segments=1", "_refresh"):
            _asked(place, "POST", path)
        time.sleep(COUNTED)
        all_of = _asked(place, "GET", "_stats/store,indexing,get")["_all"]["primaries"]
    requests = all_of["indexing"]["index_total"] + all_of["get"]["total"]
    return Used(all_of["store"]["size_in_bytes"], requests)


def _asked(place: http.client.HTTPConnection, method: str, path: str) -> Any:
    place.request(method, f"/kvbackends/{path}")
    return json.load(place.getresponse())


def _postgresql(server: Any) -> Used:
    import psycopg

    time.sleep(COUNTED)
    asked = (
        "SELECT pg_database_size(datname), xact_commit FROM pg_stat_database "
        "WHERE datname = current_database()"
    )
    with psycopg.connect(server.url) as link:
        size, transactions = link.execute(asked).fetchone() or (0, 0)
    return Used(size, transactions)


@functools.cache
def _on_disk(server: Any) -> sizes.Used:
    """Cassandra's bytes; its table is told only once how often to flush."""
    return sizes.cassandra(server)


def _cassandra(server: Any) -> Used:
    from cassandra.cluster import Cluster

    size = int(_on_disk(server)())
    with Cluster([server.address], port=server.port) as cluster:
        rows = cluster.connect().execute("SELECT request_count FROM system_views.clients")
        return Used(size, sum(row.request_count for row in rows))


READERS: dict[str, Callable[[Any], Used]] = {
    "redis": _redis,
    "memcached": _memcached,
    "mongodb": _mongodb,
    "elasticsearch": _elasticsearch,
    "cassandra": _cassandra,
    "postgresql": _postgresql,
}
