"""Celery results in Apache Cassandra: ``cassandra://host1,host2/keyspace``.

The server: lightweight transactions, and native protocol 4, which every version since 2.2 speaks.
The user needs SELECT and MODIFY on two tables, and CREATE where the adapter makes them.

The options: `CassandraOptions`, and all of Celery's ``cassandra_*`` settings.

Not guaranteed: a value above `value_bytes` is refused.  Reads and writes have to overlap, as quorum
and quorum do; with weaker consistency levels a chord may miss its last part.  With
``commitlog_sync: periodic``, the server's default, a node that is killed may lose its last writes.
"""

from collections.abc import Iterable

from kvbackends.contract import Adapter, hookimpl
from kvbackends_cassandra.options import CassandraOptions
from kvbackends_cassandra.store import CassandraStore

__all__ = ["CassandraOptions", "CassandraStore"]


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """The adapter of this distribution."""
    yield Adapter(
        schemes=("cassandra",),
        store=CassandraStore,
        summary="durable and replicated; a lightweight transaction decides each race",
        example="cassandra://host1,host2:9042/keyspace",
    )
