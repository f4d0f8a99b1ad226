"""A Redis Cluster of three primaries with one replica each: 4 s to start, 60 MB."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.servers.failure import ServerFailed
from tests.servers.group import Group, start_all
from tests.servers.process import PORTS, bound, eventually, free_ports
from tests.servers.redis import DEBIAN, RedisServer, wheel_of
from tests.servers.redis_access import TLSMember, trust_each_other

PRIMARIES = 3
SLOTS = 16_384
# The port of the cluster's bus is this much above the one for clients, in every version.
BUS = 10_000


class ClusterNode(RedisServer):
    """One node; what it knows of the others survives `kill` and `restart`."""

    name = "redis-node"

    def choose_ports(self) -> list[int]:
        """One for clients and one for the bus, both below the ephemeral range."""
        while True:
            [port] = free_ports(1)
            if port + BUS in PORTS:
                with contextlib.ExitStack() as held:
                    if bound(held, port + BUS):
                        return [port, port + BUS]

    def settings(self) -> list[str]:
        """It is missed after two seconds."""
        cluster = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]
        timing = ["--cluster-node-timeout", "2000", "--cluster-announce-ip"]
        reached = [self.host.address, "--protected-mode", "no"]
        return [*super().settings(), *cluster, *timing, *reached]

    @property
    def id(self) -> str:
        """The name that the other nodes have for it."""
        return self.run("CLUSTER MYID").split()[1]


class TLSClusterNode(TLSMember, ClusterNode):
    """One node of a cluster that speaks TLS, inside as well."""

    def settings(self) -> list[str]:
        """Of both kinds."""
        return [*super().settings(), "--tls-cluster", "yes"]


@dataclass(frozen=True)
class Line:
    """A node's report of one node, redis.io/docs/latest/commands/cluster-nodes."""

    id: str
    address: str
    flags: str
    primary: str
    slots: list[str]

    @classmethod
    def parse(cls, text: str) -> "Line":
        own_id, address, flags, primary, _ping, _pong, _epoch, _link, *slots = text.split()
        return cls(own_id, address, flags, primary, slots)

    def has(self, slot: int) -> bool:
        """Whether a slot is its own; a slot that moves stands in brackets."""
        ranges = (part.partition("-") for part in self.slots if not part.startswith("["))
        return any(int(first) <= slot <= int(last or first) for first, _, last in ranges)


class RedisCluster(Group[ClusterNode]):
    """Three primaries and their replicas; a replica takes over 3 s after its primary was killed.

    Args:
        nodes: Six.
    """

    name = "redis-cluster"

    @property
    def url(self) -> str:
        """The URL that names every node."""
        one = self.nodes[0]
        places = ",".join(f"{each.host.address}:{each.port}" for each in self.nodes)
        return f"{one.scheme}+cluster://{places}{one.query}"

    def put_together(self) -> None:
        """Slots to the primaries, then a meeting of all, then replicas; as `redis-cli` does it."""
        start_all(self.nodes)
        primaries, replicas = self.nodes[:PRIMARIES], self.nodes[PRIMARIES:]
        for number, node in enumerate(primaries):
            slots = range(number * SLOTS // PRIMARIES, (number + 1) * SLOTS // PRIMARIES)
            node.run(f"CLUSTER ADDSLOTS {' '.join(map(str, slots))}")
            node.run(f"CLUSTER SET-CONFIG-EPOCH {number + 1}")
        others = [f"{each.host.address} {each.port}" for each in self.nodes[1:]]
        self.nodes[0].run(*(f"CLUSTER MEET {each}" for each in others))
        for primary, replica in zip(primaries, replicas, strict=True):
            self._follow(replica, primary)

    def _follow(self, replica: ClusterNode, primary: ClusterNode) -> None:
        """Let one replicate another, as soon as it has heard of it."""
        command = f"CLUSTER REPLICATE {primary.id}"
        if not eventually(lambda: replica.run(command).startswith("+OK"), self.patience):
            raise ServerFailed(f"{self.name}: {command}: {replica.run(command)}")

    def serves(self) -> bool:
        """Whether every node serves all slots and every primary has its replica."""
        return all(map(self._complete, self.nodes))

    def _complete(self, node: ClusterNode) -> bool:
        lines = list(self._lines(node))
        replicas = [line for line in lines if line.primary != "-" and "fail" not in line.flags]
        behind = "master_link_status:down" in node.run("INFO replication")
        ok = "cluster_state:ok" in node.run("CLUSTER INFO")
        return ok and not behind and len({line.primary for line in replicas}) == PRIMARIES

    def primary_of(self, key: str) -> ClusterNode:
        """The node that serves a key now, as its living neighbours see it."""
        return self._node(self._line_of(key))

    def replica_of(self, key: str) -> ClusterNode:
        """The node that would take over from `primary_of`."""
        primary = self._line_of(key)
        return self._node(next(each for each in self._now() if each.primary == primary.id))

    def _line_of(self, key: str) -> Line:
        slot = int(self._alive().run(f'CLUSTER KEYSLOT "{key}"').splitlines()[0].lstrip(":"))
        lines = [line for line in self._now() if line.has(slot)]
        return next((line for line in lines if "fail" not in line.flags), lines[0])

    def _now(self) -> Iterator[Line]:
        return self._lines(self._alive())

    def _alive(self) -> ClusterNode:
        for node in self.nodes:
            with contextlib.suppress(OSError):
                if node.answers():
                    return node
        raise ServerFailed(f"{self.name}: no node answers")

    def _lines(self, node: ClusterNode) -> Iterator[Line]:
        lines = node.run("CLUSTER NODES").splitlines()
        return (Line.parse(line) for line in lines if len(line.split()) >= 8)

    def _node(self, line: Line) -> ClusterNode:
        place = line.address.partition("@")[0]
        return next(each for each in self.nodes if f"{each.host.address}:{each.port}" == place)


def redis_cluster(*arguments: str, version: str = DEBIAN) -> RedisCluster:
    """A Redis Cluster, three primaries and three replicas.

    Args:
        arguments: Of each node's command line.
        version: "7.0", "6.2", "8" or "valkey".
    """
    wheel = wheel_of(version)
    return RedisCluster(ClusterNode(*arguments, wheel=wheel) for _ in range(2 * PRIMARIES))


def redis_tls_cluster(*arguments: str) -> RedisCluster:
    """The same with TLS and client certificates, in Debian's version: no other knows `--tls-port`.

    Args:
        arguments: Of each node's command line.
    """
    nodes = [TLSClusterNode(*arguments) for _ in range(2 * PRIMARIES)]
    trust_each_other(nodes)
    return RedisCluster(nodes)
