"""An Elasticsearch cluster of three nodes: 40 s of a processor to start, 1.2 GB."""

import contextlib
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from tests.servers.elasticsearch import VERSIONS, Distribution, ElasticsearchServer
from tests.servers.failure import ServerFailed
from tests.servers.group import Group, start_all
from tests.servers.process import eventually, free_ports

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
        cluster: The cluster's name.
    """

    def __init__(
        self, distribution: Distribution, settings: Mapping[str, str], number: int, cluster: str
    ) -> None:
        super().__init__(distribution, settings)
        self.number = number
        self.peers = [self]
        self.transport = free_ports(1)[0]
        self._cluster = cluster

    @property
    def node_name(self) -> str:
        """Its name in the cluster."""
        return f"node-{self.number}"

    def another(self, number: int) -> "ElasticsearchNode":
        """A node that is started in the same way."""
        return ElasticsearchNode(self._distribution, self._settings, number, self._cluster)

    def choose_ports(self) -> list[int]:
        """A free one for clients, and the one that the others know."""
        return [*free_ports(1), self.transport]

    def settings(self) -> dict[str, str]:
        """Those of a lone node, but for how it finds the others."""
        seeds = ", ".join(f'"{each.host.inner}:{each.transport}"' for each in self.peers)
        names = ", ".join(f"node-{number}" for number in range(NODES))
        together = {
            "cluster.name": self._cluster,
            "node.name": self.node_name,
            # On another one than a loopback's the node would ask for more than a test has.
            "transport.host": self.host.inner,
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
    patience = 300.0

    @property
    def url(self) -> str:
        """The URL that names every node, and the shards of the index that the adapter makes."""
        hosts = ",".join(f"{each.host.address}:{each.port}" for each in self.nodes)
        return f"elasticsearch://{hosts}/kvbackends?number_of_shards={NODES}"

    def put_together(self) -> None:
        """Start all: they find each other."""
        for each in self.nodes:
            each.peers = self.nodes
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

    def add(self) -> ElasticsearchNode:
        """Start one node more; return it."""
        node = self.nodes[0].another(max(each.number for each in self.nodes) + 1)
        self.place(node)
        node.peers = self.nodes
        node.start()
        self.nodes.append(node)
        self.settle()
        return node

    def remove(self, node: ElasticsearchNode) -> None:
        """Let a node give its shards to the others, and stop it."""
        self._exclude(node.node_name)
        if not eventually(lambda: not self._shards_of(node), self.patience):
            raise ServerFailed(f"{node.node_name} keeps {self._shards_of(node)}")
        node.stop()
        self.nodes.remove(node)
        self._exclude(None)

    def move(self, node: ElasticsearchNode) -> None:
        """Kill a node, and bring it back, with its data, under another address."""
        node.kill()
        if self.network:
            node.host = self.network.move(node.host)
        else:
            node.ports = free_ports(2)
            node.transport = node.ports[1]
        node.configure()
        node.restart()

    def _exclude(self, name: str | None) -> None:
        """No shard shall be on the node with this name."""
        setting = {"cluster.routing.allocation.exclude._name": name}
        asked = "/_cluster/settings?timeout=1s&master_timeout=1s"

        def told() -> bool:
            with contextlib.suppress(OSError):
                return bool(self.nodes[0].ask("PUT", asked, {"persistent": setting}))
            return False

        if not eventually(told, self.patience):
            raise ServerFailed(f"{self.name}: no node takes {setting}")

    def _shards_of(self, node: ElasticsearchNode) -> list[Any]:
        with contextlib.suppress(OSError):
            found = self._ask("/_cat/shards?format=json&h=index,shard,node")
            return [each for each in found if node.node_name in (each["node"] or "")]
        return ["unknown"]

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
    cluster = f"kvbackends-{uuid4().hex}"
    return ElasticsearchNodes(
        ElasticsearchNode(VERSIONS[version], settings, number, cluster) for number in range(NODES)
    )
