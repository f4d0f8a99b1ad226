"""Celery results in Redis and Valkey."""

from collections.abc import Iterable

from kvbackends import Adapter, hookimpl
from kvbackends_redis.options import RedisOptions
from kvbackends_redis.store import RedisStore

__all__ = ["RedisOptions", "RedisStore"]


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """This store."""
    yield Adapter(
        schemes=("redis", "rediss", "redis+socket", "unix"),
        store=RedisStore,
        summary="Redis and Valkey: everything in one round trip, and waiters are told",
        example="redis://localhost:6379/0",
    )
