"""The floor: each driver's own call that stores a record, without a rank and without a notice."""

# Some of the drivers are published without types.
# mypy: disable-error-code="import-untyped,no-untyped-call"

import json
import warnings
from collections.abc import Callable
from urllib.parse import urlsplit

DAY = 86_400
Storing = Callable[[str], object]


def storing(name: str, url: str, value: str) -> Storing:
    """A function that stores a record under an id, with the driver of the store `name`."""
    record = json.dumps(
        {"status": "SUCCESS", "result": value, "traceback": None, "children": []}
    ).encode()
    return MAKING[name](url, record)


def _redis(url: str, record: bytes) -> Storing:
    import redis

    client = redis.Redis.from_url(url)
    return lambda task_id: client.set(f"raw-{task_id}", record, ex=DAY)


def _memcached(url: str, record: bytes) -> Storing:
    import pymemcache

    client = pymemcache.Client(urlsplit(url).netloc, default_noreply=False, no_delay=True)
    return lambda task_id: client.set(f"raw-{task_id}", record, expire=DAY)


def _mongodb(url: str, record: bytes) -> Storing:
    import pymongo

    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(url)
    raw = client.get_default_database().get_collection("raw")
    return lambda task_id: raw.replace_one({"_id": task_id}, {"value": record}, upsert=True)


def _elasticsearch(url: str, record: bytes) -> Storing:
    import elasticsearch

    client = elasticsearch.Elasticsearch(f"http://{urlsplit(url).netloc}")
    text = record.decode()
    return lambda task_id: client.index(index="raw", id=task_id, document={"result": text})


def _cassandra(url: str, record: bytes) -> Storing:
    with warnings.catch_warnings(action="ignore"):  # the driver imports eventlet where it is
        from cassandra.cluster import Cluster

    place = urlsplit(url)
    session = Cluster([place.hostname], port=place.port).connect(place.path.strip("/"))
    session.execute("CREATE TABLE raw (id text PRIMARY KEY, value blob)")
    insert = session.prepare("INSERT INTO raw (id, value) VALUES (?, ?) USING TTL ?")
    return lambda task_id: session.execute(insert, (task_id, record, DAY))


MAKING: dict[str, Callable[[str, bytes], Storing]] = {
    "redis": _redis,
    "memcached": _memcached,
    "mongodb": _mongodb,
    "elasticsearch": _elasticsearch,
    "cassandra": _cassandra,
}
