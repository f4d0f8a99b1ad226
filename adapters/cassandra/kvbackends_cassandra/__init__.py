"""Celery results in Apache Cassandra: ``cassandra://host1,host2/keyspace``."""

from collections.abc import Iterable

from kvbackends.contract import Adapter, hookimpl
from kvbackends_cassandra.options import CassandraOptions
from kvbackends_cassandra.store import CassandraStore

__all__ = ["CassandraOptions", "CassandraStore"]


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """This store."""
    yield Adapter(
        schemes=("cassandra",),
        store=CassandraStore,
        summary="durable and replicated; a lightweight transaction decides each race",
        example="cassandra://host1,host2:9042/keyspace",
    )
