"""A Cassandra cluster of three nodes, each with all data: 25 s of a processor to start, 1.2 GB."""

import subprocess
from collections.abc import Sequence

from tests.servers.cassandra import (
    ALL,
    CONFIGURATION,
    FIRST_TOKEN,
    JAVA,
    CassandraServer,
    libraries,
)
from tests.servers.downloads import run
from tests.servers.failure import ServerFailed
from tests.servers.group import Group, start_all
from tests.servers.process import Host, free_ports

NODES = 3
CLOCK = "ShiftedClock"
# This keyspace has three copies in every cluster: reading it from all tells whether all are there.
FROM_ALL = (
    b"SELECT * FROM system_distributed.view_build_status "
    b"WHERE keyspace_name = 'none' AND view_name = 'none'"
)
STREAMING = 120.0
"""Seconds that a node may take to give its data to others."""


class CassandraNode(CassandraServer):
    """One node, on an address of its own and the same ports as the others.

    Args:
        number: Its place in the ring, from 0.
        cluster: The cluster's name.
        ports: Of every node.
        data_center: Its data center; by default all are in the same.
        ahead: Seconds that its clock is ahead.
    """

    def __init__(
        self,
        number: int,
        cluster: str,
        ports: Sequence[int],
        data_center: str = "",
        ahead: float = 0,
    ) -> None:
        step = 2**64 // NODES if number < NODES else 2**64 // NODES // 2
        super().__init__(f"127.0.0.{number + 1}", FIRST_TOKEN + number % NODES * step + number)
        self.number = number
        self.seeds = [self]
        self.bootstraps = False
        self.data_center = data_center
        self.ahead = ahead
        #: Whether it drops what is older than a timeout by the sender's clock: Cassandra's default.
        self.compares_clocks = True
        self._cluster = cluster
        self._ports = ports
        self._jmx = 0

    @property
    def cluster(self) -> str:
        """The name of the cluster."""
        return self._cluster

    @property
    def seed(self) -> str:
        """The first node's address."""
        return self.seeds[0].address

    def choose_ports(self) -> list[int]:
        """Those of every node."""
        [self._jmx] = free_ports(1)
        return list(self._ports)

    def prepare(self) -> None:
        """Write its configuration."""
        super().prepare()
        place = f"dc={self.data_center}\nrack=rack1\n"
        (self.folder / "cassandra-rackdc.properties").write_text(place)
        if self.ahead:
            self._compile_clock()

    def sees_all(self) -> bool:
        """Whether every node answers it; OSError if one does not."""
        return bool(self.ask(FROM_ALL, ALL))

    def nodetool(self, *command: str) -> str:
        """The output of one of Cassandra's commands for operators, with its default options."""
        options = f"@{CONFIGURATION / 'cassandra-jvm.options'}"
        tool = ["-cp", f"{libraries()}/*", "org.apache.cassandra.tools.NodeTool"]
        place = ["-h", "127.0.0.1", "-p", str(self._jmx)]
        config = f"-Dcassandra.config=file://{self.folder}/cassandra.yaml"
        java = [*self.host.enter, JAVA, options, "-Xmx128m", config]
        home = {"HOME": str(self.folder)}
        done = subprocess.run(
            [*java, *tool, *place, *command],
            capture_output=True,
            text=True,
            check=False,
            env=home,
            timeout=STREAMING,
        )
        if done.returncode:
            raise ServerFailed(f"nodetool {command[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    def _compile_clock(self) -> None:
        """Compile the clock with the compiler that Cassandra brings for its functions in Java."""
        jars = libraries()
        compiler = ["-cp", f"{jars}/*", "org.eclipse.jdt.internal.compiler.batch.Main"]
        source = str(CONFIGURATION / f"{CLOCK}.java")
        run([JAVA, *compiler, "-11", "-proc:none", "-d", str(self.folder), source], self.install)

    def _places(self) -> dict[str, object]:
        own: dict[str, object] = {
            "auto_bootstrap": str(self.bootstraps).lower(),
            "internode_timeout": str(self.compares_clocks).lower(),
        }
        if self.data_center:
            own["snitch"] = "GossipingPropertyFileSnitch"
        return {**super()._places(), **own}

    def _properties(self) -> dict[str, str]:
        own = {
            "cassandra.jmx.local.port": str(self._jmx),
            "cassandra-rackdc.properties": f"file://{self.folder}/cassandra-rackdc.properties",
        }
        if self.ahead:
            own |= {"cassandra.clock": CLOCK, "ahead": f"{self.ahead * 1000:.0f}"}
        return super()._properties() | own


class CassandraRing(Group[CassandraNode]):
    """Three nodes; the adapter makes a keyspace with a copy on each."""

    name = "cassandra-ring"
    patience = 300.0

    @property
    def url(self) -> str:
        """The URL that names every node."""
        hosts = ",".join(f"{each.address}:{each.port}" for each in self.nodes)
        return f"cassandra://{hosts}/kvbackends"

    def put_together(self) -> None:
        """Start the first one, then all others, which ask it for each other."""
        for each in self.nodes:
            each.seeds = self.nodes
        seed, *others = self.nodes
        seed.start()
        start_all(others)

    def serves(self) -> bool:
        """Whether each node sees all."""
        return all(each.sees_all() for each in self.nodes)

    def add(self) -> CassandraNode:
        """Start one node more, which gets its part of the data; return it."""
        one = self.nodes[0]
        number = max(each.number for each in self.nodes) + 1
        node = CassandraNode(number, one.cluster, one.ports, one.data_center)
        self.place(node)
        node.seeds, node.bootstraps = self.nodes, True
        node.start()
        self.nodes.append(node)
        return node

    def remove(self, node: CassandraNode) -> None:
        """Let a node give its data to the others, and stop it."""
        node.nodetool("decommission")
        node.stop()
        self.nodes.remove(node)

    def move(self, node: CassandraNode) -> None:
        """Kill a node, and bring it back, with its data, under another address."""
        node.kill()
        if self.network:
            node.host = self.network.move(node.host)
        else:
            node.host = Host(f"127.0.1.{self.nodes.index(node) + 1}")
        node.prepare()
        node.restart()


def cassandra_ring(
    data_centers: Sequence[str] = ("",) * NODES, ahead: Sequence[float] = ()
) -> CassandraRing:
    """A Cassandra cluster.

    Args:
        data_centers: Each node's; by default there are three nodes in one.
        ahead: Seconds that the nodes' clocks are ahead; by default all are right. Nodes whose
            clocks differ do not compare them, or they would not hear each other.
    """
    ports = free_ports(CassandraNode.port_count)
    cluster = f"kvbackends-{ports[0]}"
    differences = ahead or [0] * len(data_centers)
    ring = CassandraRing(
        CassandraNode(number, cluster, ports, center, seconds)
        for number, (center, seconds) in enumerate(zip(data_centers, differences, strict=True))
    )
    for each in ring.nodes:
        each.compares_clocks = not any(ahead)
    return ring
