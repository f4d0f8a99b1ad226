"""Celery results in Redis and Valkey."""

from collections.abc import Iterable

from kvbackends.contract import Adapter, hookimpl
from kvbackends_redis.cluster.store import ClusterStore
from kvbackends_redis.options import ClusterOptions, RedisOptions, SentinelOptions
from kvbackends_redis.store import RedisStore, SentinelStore

__all__ = [
    "ClusterOptions",
    "ClusterStore",
    "RedisOptions",
    "RedisStore",
    "SentinelOptions",
    "SentinelStore",
]


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """The adapters of this distribution."""
    yield Adapter(
        schemes=("redis", "rediss", "redis+socket", "unix"),
        store=RedisStore,
        summary="Redis and Valkey: each operation is one round trip, and waiters are notified",
        example="redis://localhost:6379/0",
    )
    yield Adapter(
        schemes=("sentinel",),
        store=SentinelStore,
        summary="Redis behind Sentinels: the primary that they name",
        example="sentinel://localhost:26379/0?master_name=mymaster",
    )
    yield Adapter(
        schemes=("redis+cluster", "rediss+cluster"),
        store=ClusterStore,
        summary="A Redis or Valkey Cluster; a chord's part and its result take two round trips",
        example="redis+cluster://localhost:6379,localhost:6380",
    )
