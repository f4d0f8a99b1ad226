"""Cassandra 5.0: one node, 6 s to start, 400 MB."""

import json
import os
import socket
import struct
from pathlib import Path
from string import Template
from typing import Any

from tests.servers.downloads import cached, check, maven
from tests.servers.failure import ServerFailed
from tests.servers.process import HOST, Host, Server, receive

CONFIGURATION = Path(__file__).with_name("configuration")
VERSION = "5.0.9"
# Cassandra 5 knows Java 11 and 17, and may not find what it wants in another one.
JAVA = "/usr/lib/jvm/java-17-openjdk-amd64/bin/java"
FIRST_TOKEN = -(2**63) + 1
# As root it would lock its whole heap in memory.
UNLOCKED = ["prlimit", "--memlock=65536:65536"]
WITHOUT_LOCKING = ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"]
# The quick compiler alone: starting takes 7 seconds of a processor with it, and 11 without.
MACHINE = ["-Xms256m", "-Xmx256m", "-Xss256k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
PROPERTIES = {
    "java.net.preferIPv4Stack": "true",
    "cassandra-foreground": "yes",
    # What a cluster in production waits for, and a single node need not.
    "cassandra.skip_wait_for_gossip_to_settle": "0",
    "cassandra.ring_delay_ms": "1000",
    "cassandra.consistent.rangemovement": "false",
    "cassandra.superuser_setup_delay_ms": "0",
    "cassandra.shutdown_announce_in_ms": "0",
}

# The native protocol, version 4 (native_protocol_v4.spec in Cassandra's documentation).
HEADER = struct.Struct(">BBhBi")  # version, flags, stream, opcode, length of the body
STARTUP, READY, QUERY, RESULT = 1, 2, 7, 8
OPTIONS = b"\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0"
LOCAL = b"SELECT JSON cluster_name, release_version FROM system.local"
ONE, ALL = 1, 5  # consistency levels


def libraries() -> Path:
    """The folder of Cassandra's jars, each checked when it is downloaded.

    Raises:
        ServerFailed: Maven could not get them, or got others.
    """
    return cached(f"cassandra-{VERSION}", _download)


def _download(folder: Path) -> None:
    pom = CONFIGURATION / "cassandra-pom.xml"
    maven(
        *("copy-dependencies", "-f", str(pom)),
        *("-DincludeScope=runtime", f"-DoutputDirectory={folder}"),
    )
    pins = (CONFIGURATION / "cassandra-jars.sha256").read_text().splitlines()
    jars = {name: sha256 for sha256, name in map(str.split, pins)}
    if others := set(jars) ^ {jar.name for jar in folder.iterdir()}:
        raise ServerFailed(f"Not the jars that are pinned: {', '.join(sorted(others))}")
    for name, sha256 in jars.items():
        check(folder / name, sha256)


class CassandraServer(Server):
    """One node of Cassandra, a cluster of its own; it has no keyspace yet.

    Args:
        address: Where it listens.
        token: Its place in the ring.
    """

    name = "cassandra"
    install = "apt-get install --no-install-recommends openjdk-17-jre-headless"
    port_count = 3
    patience = 300.0

    def __init__(self, address: str = HOST, token: int = FIRST_TOKEN) -> None:
        super().__init__()
        self.host = Host(address)
        self._token = token

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.host.address

    @property
    def seed(self) -> str:
        """The node that it asks for others."""
        return self.address

    @property
    def url(self) -> str:
        """The URL of the keyspace `kvbackends`."""
        return f"cassandra://{self.address}:{self.port}/kvbackends"

    @property
    def cluster(self) -> str:
        """The name of its cluster."""
        return self.folder.name

    @property
    def version(self) -> str:
        """The version, as `system.local` gives it."""
        return str(self._local()["release_version"])

    def download(self) -> None:
        """Get its jars."""
        libraries()

    def prepare(self) -> None:
        """Write its configuration."""
        template = Template((CONFIGURATION / "cassandra.yaml").read_text())
        (self.folder / "cassandra.yaml").write_text(template.substitute(self._places()))

    def command(self) -> list[str]:
        """The daemon itself, without the shell script around it."""
        jars = libraries()
        agent = next(jars.glob("jamm-*.jar"))
        properties = [f"-D{name}={value}" for name, value in self._properties().items()]
        options = [f"@{CONFIGURATION / 'cassandra-jvm.options'}", *MACHINE, f"-javaagent:{agent}"]
        classes = f"{jars}/*:{self.folder}"
        daemon = ["-cp", classes, "org.apache.cassandra.service.CassandraDaemon"]
        limits = [*(WITHOUT_LOCKING if os.geteuid() == 0 else []), *UNLOCKED]
        return [*limits, JAVA, *options, *properties, *daemon]

    def answers(self) -> bool:
        """The cluster's name is its own."""
        return bool(self._local()["cluster_name"] == self.cluster)

    def _places(self) -> dict[str, object]:
        """The values in `cassandra.yaml` for names with a dollar."""
        cql, storage, ssl_storage = self.ports
        return {
            "cluster_name": self.cluster,
            "address": self.address,
            "seed": self.seed,
            "token": self._token,
            "auto_bootstrap": "false",
            "snitch": "SimpleSnitch",
            "internode_timeout": "true",
            "cql_port": cql,
            "storage_port": storage,
            "ssl_storage_port": ssl_storage,
        }

    def _properties(self) -> dict[str, str]:
        """Java's system properties."""
        return PROPERTIES | {
            "cassandra.config": f"file://{self.folder}/cassandra.yaml",
            "cassandra.storagedir": f"{self.folder}/data",
            "cassandra.logdir": str(self.folder),
            "logback.configurationFile": f"file://{CONFIGURATION}/cassandra-logback.xml",
        }

    def _local(self) -> Any:
        """The state that the node reports."""
        return self.row(LOCAL)

    def row(self, statement: bytes) -> Any:
        """The only row of the answer to a ``SELECT JSON``; OSError if there is no answer."""
        rows = self.ask(statement)
        return json.loads(rows[rows.rindex(b"{") :])  # its last value

    def ask(self, statement: bytes, level: int = ONE) -> bytes:
        """The body of the answer to a statement; OSError if there is none."""
        with socket.create_connection((self.address, self.port), timeout=2) as connection:
            _request(connection, STARTUP, OPTIONS, READY)
            query = struct.pack(">i", len(statement)) + statement + struct.pack(">HB", level, 0)
            return _request(connection, QUERY, query, RESULT)


def _request(connection: socket.socket, opcode: int, body: bytes, expected: int) -> bytes:
    """The body of an answer; OSError for another answer than the expected one."""
    connection.sendall(HEADER.pack(4, 0, 0, opcode, len(body)) + body)
    _, _, _, answer, size = HEADER.unpack(receive(connection, HEADER.size))
    if answer != expected:
        raise ConnectionError(f"the answer to {opcode} is {answer}")
    return receive(connection, size)


def cassandra_server() -> CassandraServer:
    """A Cassandra server."""
    return CassandraServer()
