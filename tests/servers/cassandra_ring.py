"""A Cassandra cluster of three nodes, each with all data: 25 s of a processor to start, 1.2 GB."""

from collections.abc import Sequence

from tests.servers.cassandra import ALL, FIRST_TOKEN, CassandraServer
from tests.servers.group import Group, start_all
from tests.servers.process import free_ports

NODES = 3
# This keyspace has three copies in every cluster: reading it from all tells whether all are there.
FROM_ALL = (
    b"SELECT * FROM system_distributed.view_build_status "
    b"WHERE keyspace_name = 'none' AND view_name = 'none'"
)


class CassandraNode(CassandraServer):
    """One node, on an address of its own and the same ports as the others.

    Args:
        number: Its place in the ring, from 0.
        cluster: The cluster's name.
        ports: Of every node.
    """

    def __init__(self, number: int, cluster: str, ports: Sequence[int]) -> None:
        super().__init__(f"127.0.0.{number + 1}", FIRST_TOKEN + number * (2**64 // NODES))
        self._cluster = cluster
        self._ports = ports

    @property
    def cluster(self) -> str:
        """The name of the cluster."""
        return self._cluster

    def choose_ports(self) -> list[int]:
        """Those of every node."""
        return list(self._ports)

    def sees_all(self) -> bool:
        """Whether every node answers it; OSError if one does not."""
        return bool(self.ask(FROM_ALL, ALL))


class CassandraRing(Group[CassandraNode]):
    """Three nodes; the adapter makes a keyspace with a copy on each."""

    name = "cassandra-ring"
    patience = 120.0

    @property
    def url(self) -> str:
        """The URL that names every node."""
        hosts = ",".join(f"{each.address}:{each.port}" for each in self.nodes)
        return f"cassandra://{hosts}/kvbackends"

    def put_together(self) -> None:
        """Start the first one, then all others, which ask it for each other."""
        seed, *others = self.nodes
        seed.start()
        start_all(others)

    def serves(self) -> bool:
        """Whether each node sees all."""
        return all(each.sees_all() for each in self.nodes)


def cassandra_ring() -> CassandraRing:
    """A Cassandra cluster."""
    ports = free_ports(CassandraNode.port_count)
    cluster = f"kvbackends-{ports[0]}"
    return CassandraRing(CassandraNode(number, cluster, ports) for number in range(NODES))
