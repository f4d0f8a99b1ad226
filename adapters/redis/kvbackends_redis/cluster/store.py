"""The store on a cluster: operations on keys of several slots are split by node."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Self

from kvbackends.contract import Fact, StoreURL
from kvbackends_redis.about import about
from kvbackends_redis.cluster.connections import ClusterConnections
from kvbackends_redis.cluster.shards import NodeListeners
from kvbackends_redis.connecting.connections import Connections
from kvbackends_redis.connecting.endpoints import of_cluster
from kvbackends_redis.listening.subscription import PubSub
from kvbackends_redis.operations.barriers import ClusterBarrier, barriers_of
from kvbackends_redis.operations.plain import lifetimes_of, literally, scanned
from kvbackends_redis.options import ClusterOptions
from kvbackends_redis.store import RedisStore


class ClusterStore(RedisStore):
    """Stores results in a Redis or Valkey Cluster."""

    options_type = ClusterOptions

    @classmethod
    def from_url(cls, url: StoreURL, options: Any) -> Self:
        """The store of a ``redis+cluster://`` or ``rediss+cluster://`` URL."""
        return cls(of_cluster(url, options))

    def _connect(self) -> ClusterConnections:
        endpoint = self._endpoint
        return ClusterConnections(endpoint.seeds, lambda node: self._open(endpoint.at(node)))

    def get_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """The values of the keys that exist.  Cost: one exchange with each node, in parallel."""
        found = self._connections().send_all({key: ("GET", key) for key in keys})
        return {key: value for key, value in found.items() if value is not None}

    def delete_batch(self, keys: Collection[str]) -> None:
        """Remove the keys that exist.  Cost: one exchange with each node, in parallel."""
        self._connections().send_all({key: ("UNLINK", key) for key in keys})

    def scan(self, prefix: str) -> Iterator[str]:
        """Yield the keys node by node; keys that move meanwhile may be missing or appear twice."""
        for node in self._primaries():
            yield from scanned(node, f"{literally(prefix)}*")

    def lifetimes(self, keys: Collection[str]) -> Mapping[str, float | None]:
        """Seconds that the keys have left.  Cost: one exchange with each node, in parallel."""
        return lifetimes_of(self._connections().send_all({key: ("PTTL", key) for key in keys}))

    def barriers(self, prefix: str) -> Iterator[str]:
        """Yield the names of barriers, node by node, as `scan` does."""
        for node in self._primaries():
            yield from barriers_of(node, prefix)

    def barrier(self, name: str, ttl: float | None = None) -> ClusterBarrier:
        """A barrier is in one slot; its results are not."""
        return ClusterBarrier(self, self._connections, name, ttl)

    def subscribe(self) -> PubSub:
        """A subscription: a connection to each node of a watched key; Redis 6.2: to one node."""
        return PubSub(NodeListeners(self._connections().slots, *self._endpoint.listening))

    def about(self) -> Iterator[Fact]:
        """Of the first primary; the number of all."""
        nodes = list(self._primaries())
        yield Fact("cluster", f"{len(nodes)} primaries")
        yield from about(nodes[0])

    def ping(self) -> None:
        """Return if every primary answers; raise the error otherwise."""
        for node in self._primaries():
            node.call("PING")

    def _primaries(self) -> Iterator[Connections]:
        """The current primaries.  Reads the map: commands without keys are not redirected."""
        connections = self._connections()
        connections.slots.doubt()
        yield from connections.primaries()
