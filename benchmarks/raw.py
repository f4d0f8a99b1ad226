"""The floor: `json.dumps` and the driver's own call that stores the record.

It neither compares ranks nor sends notifications.
"""

# Some of the drivers are published without types.
# mypy: disable-error-code="import-untyped,no-untyped-call"

import json
import warnings
from collections.abc import Callable
from urllib.parse import urlsplit

DAY = 86_400
Storing = Callable[[str, bytes], object]


def raw_store(name: str, url: str, value: str) -> Callable[[str], object]:
    """Return a function that stores a record for a task id with the driver of the store `name`."""
    store = DRIVERS[name](url)
    return lambda task_id: store(task_id, record_of(task_id, value))


def record_of(task_id: str, value: str) -> bytes:
    """Return Celery's record of a successful task."""
    record: dict[str, object] = {
        "status": "SUCCESS",
        "result": value,
        "traceback": None,
        "children": [],
        "date_done": "2026-01-01T00:00:00.000000+00:00",
        "task_id": task_id,
    }
    return json.dumps(record).encode()


def _redis(url: str) -> Storing:
    import redis

    client = redis.Redis.from_url(url)
    return lambda task_id, record: client.set(f"raw-{task_id}", record, ex=DAY)


def _memcached(url: str) -> Storing:
    import pymemcache

    client = pymemcache.Client(urlsplit(url).netloc, default_noreply=False, no_delay=True)
    return lambda task_id, record: client.set(f"raw-{task_id}", record, expire=DAY)


def _mongodb(url: str) -> Storing:
    import pymongo

    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(url)
    raw = client.get_default_database().get_collection("raw")
    return lambda task_id, record: raw.replace_one({"_id": task_id}, {"value": record}, upsert=True)


def _postgresql(url: str) -> Storing:
    """A table with what is needed: a key, the time of expiry, and the record."""
    import psycopg

    connection = psycopg.connect(url, autocommit=True)
    connection.execute(
        "CREATE TABLE raw (id text PRIMARY KEY, expires timestamptz NOT NULL, value bytea NOT NULL)"
    )
    insert = (
        "INSERT INTO raw (id, expires, value) VALUES (%s, now() + interval '1 day', %b) "
        "ON CONFLICT (id) DO UPDATE SET expires = excluded.expires, value = excluded.value"
    )
    return lambda task_id, record: connection.execute(insert, (task_id, record))


def _postgresql_alike(url: str) -> Storing:
    """A table like ours, with its columns and indexes."""
    import psycopg

    connection = psycopg.connect(url, autocommit=True)
    connection.execute("CREATE TABLE raw_alike (LIKE kvbackends_entry INCLUDING ALL)")
    columns = ("value", "expires", "version", "rank", "state", "task", "worker", "done")
    insert = (
        "INSERT INTO raw_alike (key, value, expires, rank, state, task, worker, done) "
        "VALUES (%b, %b, now() + interval '1 day', 3, 'SUCCESS', %s, %s, %s) "
        "ON CONFLICT (key) DO UPDATE SET "
        + ", ".join(f"{each} = excluded.{each}" for each in columns)
    )
    facets = ("benchmarks.task", "worker@host", "2026-01-01T00:00:00.000000+00:00")
    return lambda task_id, record: connection.execute(insert, (task_id.encode(), record, *facets))


def _elasticsearch(url: str) -> Storing:
    import elasticsearch

    client = elasticsearch.Elasticsearch(f"http://{urlsplit(url).netloc}")

    def store(task_id: str, record: bytes) -> None:
        client.index(index="raw", id=task_id, document={"result": record.decode()})

    return store


def _cassandra(url: str) -> Storing:
    with warnings.catch_warnings(action="ignore"):  # the driver imports eventlet if it is installed
        from cassandra.cluster import Cluster

    place = urlsplit(url)
    session = Cluster([place.hostname], port=place.port).connect(place.path.strip("/"))
    session.execute("CREATE TABLE raw (id text PRIMARY KEY, value blob)")
    insert = session.prepare("INSERT INTO raw (id, value) VALUES (?, ?) USING TTL ?")
    return lambda task_id, record: session.execute(insert, (task_id, record, DAY))


DRIVERS: dict[str, Callable[[str], Storing]] = {
    "redis": _redis,
    "memcached": _memcached,
    "mongodb": _mongodb,
    "postgresql": _postgresql,
    "postgresql, our columns and indexes": _postgresql_alike,
    "elasticsearch": _elasticsearch,
    "cassandra": _cassandra,
}
