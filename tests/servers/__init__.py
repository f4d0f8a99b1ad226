"""Real servers for tests: plain child processes on ports of their own, in a folder of their own.

    with redis_server() as server:
        client = redis.Redis.from_url(server.url)
    with redis_cluster() as cluster:
        cluster.primary_of("key").kill()

None outlives the process that started it, however that process ends. `python -m tests.servers
redis rabbitmq` starts servers for a person.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.servers.cassandra import cassandra_server
from tests.servers.cassandra_ring import CassandraRing, cassandra_ring
from tests.servers.elasticsearch import elasticsearch_server
from tests.servers.elasticsearch_nodes import ElasticsearchNodes, elasticsearch_nodes
from tests.servers.failure import ServerFailed
from tests.servers.group import Group
from tests.servers.memcached import memcached_server
from tests.servers.memcached_nodes import MemcachedNodes, memcached_nodes
from tests.servers.mongodb import mongodb_server
from tests.servers.mongodb_set import MongoDBSet, mongodb_set
from tests.servers.opensearch import opensearch_server
from tests.servers.postgresql import postgresql_server, postgresql_standby
from tests.servers.postgresql_access import pgbouncer, postgresql_tls_server
from tests.servers.process import Server
from tests.servers.rabbitmq import rabbitmq_server
from tests.servers.redis import redis_server, valkey_server
from tests.servers.redis_access import redis_acl_server, redis_socket_server, redis_tls_server
from tests.servers.redis_cluster import RedisCluster, redis_cluster, redis_tls_cluster
from tests.servers.redis_sentinel import RedisSentinel, redis_sentinel, redis_tls_sentinel

__all__ = [
    "ALL",
    "GROUPS",
    "SERVERS",
    "CassandraRing",
    "ElasticsearchNodes",
    "Group",
    "MemcachedNodes",
    "MongoDBSet",
    "RedisCluster",
    "RedisSentinel",
    "Server",
    "ServerFailed",
    "cassandra_ring",
    "cassandra_server",
    "elasticsearch_nodes",
    "elasticsearch_server",
    "memcached_nodes",
    "memcached_server",
    "mongodb_server",
    "mongodb_set",
    "opensearch_server",
    "pgbouncer",
    "postgresql_server",
    "postgresql_standby",
    "postgresql_tls_server",
    "rabbitmq_server",
    "redis_acl_server",
    "redis_cluster",
    "redis_sentinel",
    "redis_server",
    "redis_socket_server",
    "redis_tls_cluster",
    "redis_tls_sentinel",
    "redis_tls_server",
    "valkey_server",
]

#: Every single server that can be started, by the name that the command line knows it by.
SERVERS: dict[str, Callable[[], Server]] = {
    "redis": redis_server,
    "redis6.2": partial(redis_server, version="6.2"),
    "redis8": partial(redis_server, version="8"),
    "valkey": valkey_server,
    "redis-appendonly": partial(redis_server, "--appendonly", "yes", "--appendfsync", "always"),
    "redis-tls": redis_tls_server,
    "redis-socket": redis_socket_server,
    "redis-acl": redis_acl_server,
    "memcached": memcached_server,
    "mongodb": mongodb_server,
    "postgresql": postgresql_server,
    "postgresql13": partial(postgresql_server, "13"),
    "postgresql18": partial(postgresql_server, "18"),
    "postgresql-tls": postgresql_tls_server,
    "rabbitmq": rabbitmq_server,
    "cassandra": cassandra_server,
    "elasticsearch": elasticsearch_server,
    "elasticsearch9": partial(elasticsearch_server, version="9.2"),
    "opensearch": opensearch_server,
}

#: Every group of servers, likewise.
GROUPS: dict[str, Callable[[], Group[Any]]] = {
    "redis-cluster": redis_cluster,
    "redis-sentinel": redis_sentinel,
    "redis-replicas": partial(redis_sentinel, "--appendonly", "yes", replicas=2),
    "redis-tls-cluster": redis_tls_cluster,
    "redis-tls-sentinel": redis_tls_sentinel,
    "memcached-nodes": memcached_nodes,
    "mongodb-set": mongodb_set,
    "elasticsearch-nodes": elasticsearch_nodes,
    "cassandra-ring": cassandra_ring,
}

ALL: dict[str, Callable[..., Server | Group[Any]]] = {**SERVERS, **GROUPS}
