"""Fixtures for all tests: real servers, each started when the first test asks for it.

A pytest plugin. Each server lives for the session and is shared; a test that stops or pauses one
starts its own.
"""

from collections.abc import Iterator

import pytest

from tests.servers import ALL, pgbouncer, postgresql_server

# A node that a busy machine holds up for two seconds is no dead node: a replica that took over
# would lose what it had not received yet. Tests of a takeover start clusters of their own.
PATIENT = ("--cluster-node-timeout", "60000")


def _url_of(name: str, *arguments: str) -> Iterator[str]:
    with ALL[name](*arguments) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a Redis 7.0."""
    yield from _url_of("redis")


@pytest.fixture(scope="session")
def redis62_url() -> Iterator[str]:
    """The URL of a Redis 6.2."""
    yield from _url_of("redis6.2")


@pytest.fixture(scope="session")
def redis8_url() -> Iterator[str]:
    """The URL of a Redis 8."""
    yield from _url_of("redis8")


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """The URL of a Valkey 9."""
    yield from _url_of("valkey")


@pytest.fixture(scope="session")
def redis_appendonly_url() -> Iterator[str]:
    """The URL of a Redis 7.0 that confirms nothing before it is on disk."""
    yield from _url_of("redis-appendonly")


@pytest.fixture(scope="session")
def redis_tls_url() -> Iterator[str]:
    """The URL of a Redis 7.0 with TLS, with a client's certificate."""
    yield from _url_of("redis-tls")


@pytest.fixture(scope="session")
def redis_socket_url() -> Iterator[str]:
    """The URL of the Unix socket of a Redis 7.0."""
    yield from _url_of("redis-socket")


@pytest.fixture(scope="session")
def redis_acl_url() -> Iterator[str]:
    """The URL of a Redis 7.0, for a user with few rights."""
    yield from _url_of("redis-acl")


@pytest.fixture(scope="session")
def redis_cluster_url() -> Iterator[str]:
    """The URL of a Redis Cluster of version 7.0, three primaries and three replicas."""
    yield from _url_of("redis-cluster", *PATIENT)


@pytest.fixture(scope="session")
def redis_sentinel_url() -> Iterator[str]:
    """The URL of three Sentinels, with a primary and a replica of Redis 7.0."""
    yield from _url_of("redis-sentinel")


@pytest.fixture(scope="session")
def redis_replicas_url() -> Iterator[str]:
    """The Sentinels of a primary with two replicas."""
    yield from _url_of("redis-replicas")


@pytest.fixture(scope="session")
def redis_tls_cluster_url() -> Iterator[str]:
    """The URL of a Redis Cluster of version 7.0 with TLS, with a client's certificate."""
    yield from _url_of("redis-tls-cluster", *PATIENT)


@pytest.fixture(scope="session")
def redis_tls_sentinel_url() -> Iterator[str]:
    """The URL of three Sentinels of version 7.0 with TLS, with a client's certificate."""
    yield from _url_of("redis-tls-sentinel")


@pytest.fixture(scope="session")
def memcached_url() -> Iterator[str]:
    """The URL of a memcached."""
    yield from _url_of("memcached")


@pytest.fixture(scope="session")
def memcached_nodes_url() -> Iterator[str]:
    """The URL of three memcached servers."""
    yield from _url_of("memcached-nodes")


@pytest.fixture(scope="session")
def mongodb_url() -> Iterator[str]:
    """The URL of a MongoDB 6.0, a replica set of one node."""
    yield from _url_of("mongodb")


@pytest.fixture(scope="session")
def mongodb_set_url() -> Iterator[str]:
    """The URL of a MongoDB 6.0, a replica set of three members."""
    yield from _url_of("mongodb-set")


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The URL of a PostgreSQL 15."""
    yield from _url_of("postgresql")


@pytest.fixture(scope="session")
def postgresql13_url() -> Iterator[str]:
    """The URL of a PostgreSQL 13."""
    yield from _url_of("postgresql13")


@pytest.fixture(scope="session")
def postgresql18_url() -> Iterator[str]:
    """The URL of a PostgreSQL 18."""
    yield from _url_of("postgresql18")


@pytest.fixture(scope="session")
def postgresql_tls_url() -> Iterator[str]:
    """The URL of a PostgreSQL 15 with TLS, with a client's certificate."""
    yield from _url_of("postgresql-tls")


@pytest.fixture(scope="session")
def pgbouncer_url() -> Iterator[str]:
    """The URL of a PgBouncer before a PostgreSQL 15."""
    with postgresql_server() as behind, pgbouncer(behind) as pooler:
        yield pooler.url


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    """The URL of an Elasticsearch 8.19."""
    yield from _url_of("elasticsearch")


@pytest.fixture(scope="session")
def elasticsearch9_url() -> Iterator[str]:
    """The URL of an Elasticsearch 9.2."""
    yield from _url_of("elasticsearch9")


@pytest.fixture(scope="session")
def opensearch_url() -> Iterator[str]:
    """The URL of an OpenSearch 2.19."""
    yield from _url_of("opensearch")


@pytest.fixture(scope="session")
def elasticsearch_nodes_url() -> Iterator[str]:
    """The URL of an Elasticsearch 8.19 of three nodes."""
    yield from _url_of("elasticsearch-nodes")


@pytest.fixture(scope="session")
def cassandra_url() -> Iterator[str]:
    """The URL of a Cassandra 5.0."""
    yield from _url_of("cassandra")


@pytest.fixture(scope="session")
def cassandra_ring_url() -> Iterator[str]:
    """The URL of a Cassandra 5.0 of three nodes."""
    yield from _url_of("cassandra-ring")


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """The URL of a RabbitMQ."""
    yield from _url_of("rabbitmq")
