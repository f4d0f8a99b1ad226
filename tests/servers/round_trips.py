"""With the real client of each server: something put in, and got out again."""

# Some of the clients are published without types.
# mypy: disable-error-code="import-untyped,attr-defined,no-untyped-call"

import contextlib

import kombu
import pymemcache
import pymongo
import redis


def redis_round_trip(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        client.set("key", b"value")
        return bool(client.get("key") == b"value")


def memcached_round_trip(url: str) -> bool:
    with contextlib.closing(pymemcache.Client(url.removeprefix("memcached://"))) as client:
        client.set("key", b"value", noreply=False)
        return bool(client.get("key") == b"value")


def mongodb_round_trip(url: str) -> bool:
    with pymongo.MongoClient[dict[str, str]](url) as client:
        things = client.get_default_database().get_collection("things")
        things.replace_one({"_id": "key"}, {"value": "value"}, upsert=True)
        return things.find_one({"_id": "key"}) == {"_id": "key", "value": "value"}


def rabbitmq_round_trip(url: str) -> bool:
    with kombu.Connection(url) as connection, connection.SimpleQueue("queue") as queue:
        queue.put("value")
        message = queue.get(timeout=10)
        message.ack()
        return bool(message.payload == "value")


#: By `Server.name`.
CLIENTS = {
    "redis": redis_round_trip,
    "valkey": redis_round_trip,
    "memcached": memcached_round_trip,
    "mongodb": mongodb_round_trip,
    "rabbitmq": rabbitmq_round_trip,
}
