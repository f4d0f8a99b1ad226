"""With the real client of each server: something put in, and got out again."""

# Some of the clients are published without types.
# mypy: disable-error-code="import-untyped,attr-defined,no-untyped-call"

import contextlib
import json
import socket
import subprocess
import sys
import urllib.request
from urllib.parse import urlsplit

import elasticsearch
import kombu
import psycopg
import pymemcache
import pymongo
import redis


def redis_round_trip(url: str) -> bool:
    with redis.Redis.from_url(url, protocol=2) as client:  # 3 asks for the right to say HELLO
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


def elasticsearch_round_trip(url: str) -> bool:
    with elasticsearch.Elasticsearch(f"http://{urlsplit(url).netloc}") as client:
        client.index(index="things", id="key", document={"value": "value"})
        return bool(client.get(index="things", id="key")["_source"] == {"value": "value"})


def opensearch_round_trip(url: str) -> bool:
    """Without a client: Elastic's refuses other products."""
    place = f"http://{urlsplit(url).netloc}/things/_doc/key"
    headers = {"content-type": "application/json"}
    put = urllib.request.Request(place, b'{"value": "value"}', headers, method="PUT")
    with urllib.request.urlopen(put), urllib.request.urlopen(place) as answer:
        return bool(json.load(answer)["_source"] == {"value": "value"})


def cassandra_round_trip(url: str) -> bool:
    """In a process of its own: the driver imports eventlet, which then warns of every fork."""
    script = [sys.executable, "-W", "ignore", "-m", "tests.servers.round_trips", url]
    return not subprocess.run(script, check=False).returncode


def cassandra_round_trip_here(url: str) -> bool:
    import cassandra.cluster

    place = urlsplit(url)
    without_delay = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    cluster = cassandra.cluster.Cluster([place.hostname], place.port, sockopts=without_delay)
    with cluster, cluster.connect() as session:
        one_copy = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        session.execute(f"CREATE KEYSPACE IF NOT EXISTS things WITH replication = {one_copy}")
        session.execute("CREATE TABLE IF NOT EXISTS things.things (key text PRIMARY KEY, v text)")
        session.execute("INSERT INTO things.things (key, v) VALUES ('key', 'value')")
        return bool(session.execute("SELECT v FROM things.things").one().v == "value")


def postgresql_round_trip(url: str) -> bool:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS things (v text)")
        connection.execute("INSERT INTO things VALUES ('value')")
        return connection.execute("SELECT v FROM things").fetchone() == ("value",)


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
    "elasticsearch": elasticsearch_round_trip,
    "opensearch": opensearch_round_trip,
    "cassandra": cassandra_round_trip,
    "postgresql": postgresql_round_trip,
    "rabbitmq": rabbitmq_round_trip,
}

if __name__ == "__main__":
    sys.exit(not cassandra_round_trip_here(sys.argv[1]))
