"""Celery results in memcached: ``memcached://host:11211``.

The server: any memcached with the text protocol's ``gets``, ``set``, ``add``, ``cas``, ``touch``,
``delete`` and ``stats``.  Passwords need ``--auth-file``, TLS needs ``--enable-ssl``.

The options: `MemcachedOptions`, and what it keeps of Celery's ``cache_backend_options``.

Not guaranteed: a restart loses everything, and a full server evicts keys before they expire.  Keys
cannot be listed.  When servers are added or removed, the keys that change servers are lost.
"""

from collections.abc import Iterable

from kvbackends.contract import Adapter, hookimpl
from kvbackends_memcached.options import MemcachedOptions
from kvbackends_memcached.store import MemcachedStore

__all__ = ["MemcachedOptions", "MemcachedStore"]


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """The adapter of this distribution; Celery spells its schemes ``cache+…``."""
    names = ("memcached", "memcache", "pymemcache", "pylibmc")
    yield Adapter(
        schemes=("memcached", *(f"cache+{name}" for name in names)),
        store=MemcachedStore,
        summary="one or several memcached servers; nothing survives their restart",
        example="memcached://localhost:11211",
    )
