"""The store: maps each operation of the contract to one exchange with the server."""

from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import Any, Self

from kvbackends.contract import (
    Entry,
    Feature,
    Limits,
    Offer,
    PerProcess,
    RankOf,
    Store,
    StoreURL,
)
from kvbackends_redis.connecting.connections import Connections
from kvbackends_redis.connecting.endpoints import Endpoint, of_sentinels, of_server, plain_client
from kvbackends_redis.connecting.replicated import ReplicatedConnections
from kvbackends_redis.errors import Unavailable
from kvbackends_redis.listening.listener import Listener
from kvbackends_redis.listening.subscription import OneListener, PubSub
from kvbackends_redis.operations import plain, ranked
from kvbackends_redis.operations.barriers import RedisBarrier
from kvbackends_redis.options import RedisOptions, SentinelOptions


class RedisStore(Store):
    """Stores results in one Redis or Valkey server."""

    options_type = RedisOptions
    # Not DURABLE: whether a confirmed write survives a restart is the server's configuration.
    promises = Feature.AUTOEXPIRE | Feature.SHARED
    limits = Limits(value_bytes=512 * 1024 * 1024, ttl_step=0.002)

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.transient_errors = (Unavailable, *endpoint.errors)
        self._connections: PerProcess[Any] = PerProcess(
            self._connect,
            close=lambda connections: connections.close(),
            abandon=lambda connections: connections.abandon(),
        )
        self._client: PerProcess[Any] = PerProcess(
            lambda: plain_client(endpoint), close=lambda client: client.close()
        )

    @classmethod
    def from_url(cls, url: StoreURL, options: RedisOptions) -> Self:
        """The store of a ``redis://``, ``rediss://``, ``redis+socket://`` or ``unix://`` URL."""
        return cls(of_server(url, options))

    def _connect(self) -> Any:
        return self._open(self._endpoint.arguments)

    def _open(self, arguments: Mapping[str, Any]) -> Connections:
        endpoint = self._endpoint
        common = endpoint.kind, arguments, endpoint.most, endpoint.patience
        if not endpoint.replicas:
            return Connections(*common)
        seconds = endpoint.replicas_seconds
        return ReplicatedConnections(*common, replicas=endpoint.replicas, seconds=seconds)

    @property
    def client(self) -> Any:
        """A redis-py client to the same server, for what the contract does not offer."""
        return self._client()

    # -- plain and ranked keys ----------------------------------------------------------------

    def get(self, key: str) -> Entry | None:
        """The stored value and its version, which is the value itself.  Cost: one command."""
        value = self._connections().call("GET", key)
        return None if value is None else Entry(value, value)

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """The values of the keys that exist.  Cost: one command."""
        return plain.get_batch(self._connections(), keys)

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store unconditionally.  Cost: one command."""
        plain.put(self._connections(), key, value, ttl)

    def delete(self, key: str) -> None:
        """Remove the key if it exists.  Cost: one command."""
        self._connections().call("UNLINK", key)

    def delete_batch(self, keys: Collection[str]) -> None:
        """Remove the keys that exist.  Cost: one command."""
        if keys:
            self._connections().call("UNLINK", *keys)

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        """True if stored: `version` was the stored value.  Cost: one command or script."""
        return plain.compare_and_set(self._connections(), key, value, version, ttl)

    def offer(self, offer: Offer, rank_of: RankOf) -> bool:
        """True if stored.  Cost: one script; a second if only the client can rank what is there.

        An advisory offer returns when it is sent; its answer is read with a later command's.
        """
        return ranked.offer(self._connections(), offer, rank_of)

    def touch(self, key: str, ttl: float | None) -> bool:
        """Set a new time to live; False if the key is absent.  Cost: one command."""
        return plain.touch(self._connections(), key, ttl)

    def increment(self, key: str, by: int, ttl: float | None) -> int:
        """The new total.  Cost: one script; beyond 64 bits a compare-and-set loop."""
        return plain.increment(self._connections(), key, by, ttl)

    def scan(self, prefix: str) -> Iterator[str]:
        """Yield the keys with this prefix; keys written meanwhile may be missing.

        It does not block the server, but it reads the names of all keys of the database.
        """
        return plain.scan(self._connections(), prefix)

    def barrier(self, name: str, ttl: float | None = None) -> RedisBarrier:
        """Each operation is one script."""
        return RedisBarrier(self._connections, name, ttl)

    # -- the rest -----------------------------------------------------------------------------

    def subscribe(self) -> PubSub:
        """A subscription on a connection of its own, opened when the first key is watched."""
        connection = self._connections().for_listening()
        return PubSub(OneListener(Listener(connection, *self._endpoint.listening)))

    def ping(self) -> None:
        """Return if the server answers; raise the error otherwise."""
        self._connections().call("PING")

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._connections.close()
        self._client.close()


class SentinelStore(RedisStore):
    """Stores results in the primary that Redis Sentinels name."""

    options_type = SentinelOptions

    @classmethod
    def from_url(cls, url: StoreURL, options: Any) -> Self:
        """The store of a ``sentinel://`` URL."""
        return cls(of_sentinels(url, options))
