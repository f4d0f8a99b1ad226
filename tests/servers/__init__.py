"""Real servers for tests: plain child processes on ports of their own, in a folder of their own.

    with redis_server() as server:
        client = redis.Redis.from_url(server.url)

None outlives the process that started it, however that process ends. `python -m tests.servers
redis rabbitmq` starts servers for a person.
"""

from collections.abc import Callable
from functools import partial

from tests.servers.cassandra import cassandra_server
from tests.servers.elasticsearch import elasticsearch_server
from tests.servers.failure import ServerFailed
from tests.servers.memcached import memcached_server
from tests.servers.mongodb import mongodb_server
from tests.servers.process import Server
from tests.servers.rabbitmq import rabbitmq_server
from tests.servers.redis import redis_server, valkey_server

__all__ = [
    "SERVERS",
    "Server",
    "ServerFailed",
    "cassandra_server",
    "elasticsearch_server",
    "memcached_server",
    "mongodb_server",
    "rabbitmq_server",
    "redis_server",
    "valkey_server",
]

#: Every server that can be started, by the name that the command line knows it by.
SERVERS: dict[str, Callable[[], Server]] = {
    "redis": redis_server,
    "redis6.2": partial(redis_server, version="6.2"),
    "redis8": partial(redis_server, version="8"),
    "valkey": valkey_server,
    "memcached": memcached_server,
    "mongodb": mongodb_server,
    "rabbitmq": rabbitmq_server,
    "cassandra": cassandra_server,
    "elasticsearch": elasticsearch_server,
    "elasticsearch9": partial(elasticsearch_server, version="9.2"),
}
