"""The store of one server: its connections, and what `operations` does with them."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from kvbackends.contract import Fact, Feature, Limits, PerProcess, Store, StoreURL
from kvbackends_redis.about import about
from kvbackends_redis.connecting.connections import Connections
from kvbackends_redis.connecting.endpoints import Endpoint, of_sentinels, of_server, plain_client
from kvbackends_redis.connecting.replicated import ReplicatedConnections
from kvbackends_redis.errors import Unavailable
from kvbackends_redis.listening.listener import Listener
from kvbackends_redis.listening.subscription import OneListener, PubSub
from kvbackends_redis.operations.barriers import Barriers
from kvbackends_redis.operations.plain import PlainKeys
from kvbackends_redis.operations.ranked import RankedKeys
from kvbackends_redis.options import RedisOptions, SentinelOptions


class RedisStore(PlainKeys, RankedKeys, Barriers, Store):
    """Stores results in one Redis or Valkey server."""

    options_type = RedisOptions
    # Not DURABLE: whether a confirmed write survives a restart is the server's configuration.
    promises = Feature.AUTOEXPIRE | Feature.SHARED
    limits = Limits(value_bytes=512 * 1024 * 1024, ttl_step=0.002)

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.server = endpoint.server
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

    def subscribe(self) -> PubSub:
        """A subscription on a connection of its own, opened when the first key is watched."""
        connections, endpoint = self._connections(), self._endpoint
        link = connections.for_listening()
        listener = Listener(link, *endpoint.listening, verify=connections.verify)
        return PubSub(OneListener(listener))

    def about(self) -> Iterable[Fact]:
        """Version, eviction, persistence and clock.  Cost: two commands."""
        return about(self._connections())

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
