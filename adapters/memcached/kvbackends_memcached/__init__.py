"""Celery results in memcached: ``memcached://host:11211``."""

from collections.abc import Iterable

from kvbackends.contract import Adapter, hookimpl
from kvbackends_memcached.options import MemcachedOptions
from kvbackends_memcached.store import MemcachedStore

__all__ = ["MemcachedOptions", "MemcachedStore"]


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """This store; ``cache+…`` is how Celery spells it."""
    names = ("memcached", "memcache", "pymemcache", "pylibmc")
    yield Adapter(
        schemes=("memcached", *(f"cache+{name}" for name in names)),
        store=MemcachedStore,
        summary="one or several memcached servers; nothing survives their restart",
        example="memcached://localhost:11211",
    )
