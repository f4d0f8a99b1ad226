"""An Elasticsearch cluster of three nodes: 40 s of a processor to start, 1.2 GB."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.servers.elasticsearch import VERSIONS, Distribution, ElasticsearchServer
from tests.servers.group import Group, start_all
from tests.servers.process import HOST, free_ports

NODES = 3
# A node that stands still is put out after three of these; by default after half a minute.
FAULTS = {
    f"cluster.fault_detection.{check}.{name}": "1s"
    for check in ("follower_check", "leader_check")
    for name in ("interval", "timeout")
}


class ElasticsearchNode(ElasticsearchServer):
    """One node of a cluster; its ports are chosen before it starts, so that others can know them.

    Args:
        distribution: The program.
        settings: Of `elasticsearch.yml`, beside ours.
        number: Its place in the cluster, from 0.
        transports: The ports on which all nodes, in order, hear each other.
    """

    def __init__(
        self,
        distribution: Distribution,
        settings: Mapping[str, str],
        number: int,
        transports: Sequence[int],
    ) -> None:
        super().__init__(distribution, settings)
        self._number = number
        self._transports = transports

    @property
    def node_name(self) -> str:
        """Its name in the cluster."""
        return f"node-{self._number}"

    def choose_ports(self) -> list[int]:
        """A free one for clients, and the one that the others know."""
        return [*free_ports(1), self._transports[self._number]]

    def settings(self) -> dict[str, str]:
        """Those of a lone node, but for how it finds the others."""
        every = range(len(self._transports))
        seeds = ", ".join(f'"{HOST}:{port}"' for port in self._transports)
        names = ", ".join(f"node-{number}" for number in every)
        together = {
            "cluster.name": f"kvbackends-{'-'.join(map(str, self._transports))}",
            "node.name": self.node_name,
            "discovery.seed_hosts": f"[{seeds}]",
            "cluster.initial_master_nodes": f"[{names}]",
            **FAULTS,
        }
        own = super().settings()
        del own["discovery.type"]
        return {**own, **together, **self._settings}


class ElasticsearchNodes(Group[ElasticsearchNode]):
    """Three nodes: an index has three primary shards there, and one replica of each."""

    name = "elasticsearch-nodes"
    patience = 120.0

    @property
    def url(self) -> str:
        """The URL that names every node, and the shards of the index that the adapter makes."""
        hosts = ",".join(f"{HOST}:{each.port}" for each in self.nodes)
        return f"elasticsearch://{hosts}/kvbackends?number_of_shards={len(self.nodes)}"

    def put_together(self) -> None:
        """Start all: they find each other."""
        start_all(self.nodes)

    def serves(self) -> bool:
        """Whether the cluster has all its nodes, and every copy of every shard."""
        health = self.nodes[0].get("/_cluster/health")
        return bool(health["number_of_nodes"] == len(self.nodes) and health["status"] == "green")

    def node_named(self, name: str) -> ElasticsearchNode:
        """The node with this name in the cluster."""
        return next(each for each in self.nodes if each.node_name == name)

    def master(self) -> ElasticsearchNode:
        """The node that leads the cluster now."""
        return self.node_named(self._ask("/_cat/master?format=json")[0]["node"])

    def primary_of(self, key: str) -> ElasticsearchNode:
        """The node with the primary shard of a key without a routing of its own."""
        return self._copy_of(key, primary=True)

    def replica_of(self, key: str) -> ElasticsearchNode:
        """The node with the shard's copy."""
        return self._copy_of(key, primary=False)

    def _copy_of(self, key: str, *, primary: bool) -> ElasticsearchNode:
        found = self._ask(f"/kvbackends/_search_shards?routing={key}")
        [shard] = found["shards"]
        copy = next(each for each in shard if each["primary"] is primary)
        return self.node_named(found["nodes"][copy["node"]]["name"])

    def _ask(self, path: str) -> Any:
        return next(each for each in self.nodes if each.runs()).get(path)


def elasticsearch_nodes(version: str = "8.19", **settings: str) -> ElasticsearchNodes:
    """An Elasticsearch cluster.

    Args:
        version: "8.19" or "9.2".
        settings: Of each node's `elasticsearch.yml`, beside ours.
    """
    transports = free_ports(NODES)
    every = range(NODES)
    return ElasticsearchNodes(
        ElasticsearchNode(VERSIONS[version], settings, number, transports) for number in every
    )
