"""The bytes that a result takes on each store: ``python -m benchmarks.sizes [STORE …]``.

Results of two sizes are stored on the real server, as a worker stores them.  What the server says
that it uses, before and after, gives the bytes of one.  The values are random text, which
compression does not shrink much.
"""

import base64
import contextlib
import http.client
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import report
from benchmarks.backends import new_id, open_backend
from benchmarks.report import line
from benchmarks.rows import Row, figure
from benchmarks.servers import DRIVERS, STARTED
from benchmarks.stores import store_one
from tests.servers import SERVERS

SIZES = {"200 B": (200, 10_000), "10 KB": (10_000, 1_000)}
"""The bytes of a value, and how many results are stored."""
FLUSHED = 6.0
"""Seconds in which Cassandra, asked to flush each second, has written its tables to disk."""

Used = Callable[[], float]
"""Returns the bytes that the server uses for its data."""


def redis(server: Any) -> Used:
    """Return the memory in use."""
    import redis as driver

    client = driver.Redis.from_url(server.url)
    return lambda: float(client.info("memory")["used_memory"])


def memcached(server: Any) -> Used:
    """Return the bytes of all items, with their headers."""
    from pymemcache import Client

    client = Client(("127.0.0.1", server.port))
    return lambda: float(client.stats()[b"bytes"])


def mongodb(server: Any) -> Used:
    """Return the bytes of documents and indexes on the disk, after a checkpoint."""
    from pymongo import MongoClient

    client: Any = MongoClient(server.url)
    database = client.get_default_database("celery")

    def used() -> float:
        client.admin.command("fsync")
        stats = database.command("dbStats")
        return float(stats["storageSize"] + stats["indexSize"])

    return used


def postgresql(server: Any) -> Used:
    """Return the bytes of the database's tables and indexes."""
    import psycopg

    link = psycopg.connect(server.url, autocommit=True)

    def used() -> float:
        row = link.execute("SELECT pg_database_size(current_database())").fetchone()
        return float(row[0]) if row else 0.0

    return used


def elasticsearch(server: Any) -> Used:
    """Return the bytes of the index's segments on the disk, after a flush."""
    place = urlsplit(server.url)

    def ask(path: str, method: str = "GET") -> Any:
        connection = http.client.HTTPConnection(place.netloc)
        connection.request(method, f"/{path}")
        return json.loads(connection.getresponse().read())

    def used() -> float:
        ask("_flush?force=true", "POST")
        return float(ask("_stats/store")["_all"]["primaries"]["store"]["size_in_bytes"])

    return used


def cassandra(server: Any) -> Used:
    """Return the bytes of the keyspace's tables on the disk."""
    from cassandra.cluster import Cluster

    keyspace = urlsplit(server.url).path.strip("/")
    session = Cluster(["127.0.0.1"], port=server.port).connect()
    session.execute(f"ALTER TABLE {keyspace}.celery_kv WITH memtable_flush_period_in_ms = 1000")

    def used() -> float:
        time.sleep(FLUSHED)
        files = Path(server.folder).glob(f"**/{keyspace}/**/*.db")
        return float(sum(file.stat().st_size for file in files))

    return used


USED: dict[str, Callable[[Any], Used]] = {
    "redis": redis,
    "memcached": memcached,
    "mongodb": mongodb,
    "postgresql": postgresql,
    "elasticsearch": elasticsearch,
    "cassandra": cassandra,
}


def value_of(size: int) -> str:
    """Return random text of so many letters."""
    return base64.b64encode(os.urandom(size)).decode()[:size]


def stored(url: str, name: str, used: Used) -> Iterator[Row]:
    """Store results of each size, and yield what one takes, and what its record has."""
    backend = open_backend(url)
    for what, (size, count) in SIZES.items():
        before = used()
        for _ in range(count):
            store_one(backend, last := new_id(), value_of(size))
        record = len(backend.get(backend.get_key_for_task(last)))
        value = (used() - before) / count
        detail = f"its record has {record:,} B; {count:,} results"
        yield figure(f"bytes of a result of {what}", name, value, "B", None, detail)


def on_server(name: str, versions: dict[str, str]) -> Iterator[Row]:
    """Measure a store on its real server."""
    with STARTED.get(name, SERVERS[name])() as server:
        versions[name] = str(server.version)
        url = f"kv+{server.url}"
        store_one(open_backend(url), new_id(), "")  # creates the tables or indexes
        yield from stored(url, f"kv+{name}", USED[name](server))


def on_sqlite(folder: Path) -> Iterator[Row]:
    """Measure the file, with its log written back."""
    path = folder / "sizes.db"
    for each in folder.glob("sizes.db*"):
        each.unlink()

    def used() -> float:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return float(path.stat().st_size)

    url = f"kv+sqlite:///{path}"
    store_one(open_backend(url), new_id(), "")
    yield from stored(url, "kv+sqlite", used)


def main() -> None:
    """Measure the stores that are named, or all, and write their rows into the report."""
    names = sys.argv[1:] or ["sqlite", *DRIVERS]
    facts, rows = report.about("sizes"), []
    versions: dict[str, str] = {}
    folder = report.ROOT / ".cache" / "sizes"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        for row in on_sqlite(folder) if name == "sqlite" else on_server(name, versions):
            print(line(row), flush=True)
            rows.append(row)
    if sys.argv[1:]:
        print(report.update(rows, facts, versions))
    else:
        print(report.write(rows, facts | versions))


if __name__ == "__main__":
    main()
