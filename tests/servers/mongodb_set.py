"""A MongoDB replica set of three members: 5 s to start, 400 MB."""

import contextlib

from tests.servers.failure import ServerFailed
from tests.servers.group import Group, start_all
from tests.servers.mongodb import REPLICA_SET, MongoDBServer
from tests.servers.process import eventually, free_ports

MEMBERS = 3
PRIMARY, SECONDARY = 1, 2  # states of members, mongodb.com/docs/manual/reference/replica-states
# A member that stands still is deposed after so many milliseconds; by default after 10,000.
ELECTION = 2_000
ASIDE = 5
"""Seconds for which a primary that steps down is no candidate."""


class Member(MongoDBServer):
    """One member, which knows nothing of the others before the set is put together."""

    name = "mongodb-member"

    @property
    def address(self) -> str:
        """Its name in the set."""
        return f"{self.host.address}:{self.port}"

    def another(self) -> "Member":
        """A member that is started in the same way."""
        return Member(*self._arguments)

    def answers(self) -> bool:
        """Whether it is this process, whatever its state."""
        return bool(self.run("serverStatus")["pid"] == self.pid)

    def states(self) -> dict[str, int]:
        """The states of all members, as this one sees them."""
        status = self.run("replSetGetStatus")
        return {each["name"]: each["state"] for each in status.get("members", [])}


class MongoDBSet(Group[Member]):
    """Three members, of which any may become the primary."""

    name = "mongodb-set"

    @property
    def url(self) -> str:
        """The URL that names every member."""
        hosts = ",".join(member.address for member in self.nodes)
        return f"mongodb://{hosts}/kvbackends?replicaSet={REPLICA_SET}"

    def put_together(self) -> None:
        """Start all, and tell the first one of the set."""
        start_all(self.nodes)
        members = [{"_id": n, "host": each.address} for n, each in enumerate(self.nodes)]
        settings = {"electionTimeoutMillis": ELECTION, "heartbeatIntervalMillis": 500}
        wanted = {"_id": REPLICA_SET, "members": members, "settings": settings}
        self.nodes[0].run("replSetInitiate", wanted)

    def serves(self) -> bool:
        """Whether there is a primary, and each member sees it and all others with its data."""
        whole = [PRIMARY, *[SECONDARY] * (len(self.nodes) - 1)]
        seen = (sorted(each.states().values()) for each in self.nodes)
        return all(each == whole for each in seen) and bool(self._primaries())

    def primary_of(self, key: str = "") -> Member:
        """The member that takes writes now, by its own account; LookupError while there is none."""
        for member in self._primaries():
            return member
        raise LookupError(f"{self.name}: there is no primary")

    def replica_of(self, key: str = "") -> Member:
        """The first of the others, whether it runs or not."""
        primary = self.primary_of(key)
        return next(each for each in self.nodes if each is not primary)

    def add(self) -> Member:
        """Start one member more; return it."""
        member = self.nodes[0].another()
        self.place(member)
        member.start()
        taken = self.primary_of().run("replSetGetConfig")["config"]["members"]
        number = max(each["_id"] for each in taken) + 1
        self._reconfigure({number: member.address})
        self.nodes.append(member)
        self.settle()
        return member

    def remove(self, node: Member) -> None:
        """Let the others go on without a member, and stop it; a primary steps down before."""
        if self.primary_of() is node:
            self.step_down(node)
        self._reconfigure({self._number(node.address): None})
        node.stop()
        self.nodes.remove(node)

    def step_down(self, node: Member) -> None:
        """Let another member be the primary."""
        with contextlib.suppress(OSError):  # it closes its connections
            node.run("replSetStepDown", 4 * ASIDE, secondaryCatchUpPeriodSecs=ASIDE)
        eventually(lambda: bool(self._primaries()) and node not in self._primaries())

    def move(self, node: Member) -> None:
        """Kill a member, and bring it back, with its data, under another address."""
        number = self._number(node.address)
        node.kill()
        if self.network:
            node.host = self.network.move(node.host)
        else:
            node.ports = free_ports(1)
        node.restart()
        self._reconfigure({number: node.address})

    def _number(self, address: str) -> int:
        """A member's number in the set's configuration."""
        members = self.primary_of().run("replSetGetConfig")["config"]["members"]
        return int(next(each["_id"] for each in members if each["host"] == address))

    def _reconfigure(self, change: dict[int, str | None]) -> None:
        """Give members, by number, other addresses, or None, as soon as a primary can do it."""

        def done() -> bool:
            with contextlib.suppress(OSError):
                return any(_reconfigured(each, change) for each in self._primaries())
            return False

        if not eventually(done, self.patience):
            raise ServerFailed(f"{self.name}: no primary takes a new configuration")

    def _primaries(self) -> list[Member]:
        running = (each for each in self.nodes if each.runs())
        return [each for each in running if each.run("hello").get("isWritablePrimary")]


def _reconfigured(primary: Member, change: dict[int, str | None]) -> bool:
    """Whether the primary's configuration is changed; it may be so already."""
    config = primary.run("replSetGetConfig")["config"]
    before = {each["_id"]: each["host"] for each in config["members"]}
    after = {number: host for number, host in (before | change).items() if host}
    if after == before:
        return True
    config["members"] = [{"_id": number, "host": host} for number, host in after.items()]
    config["version"] += 1
    return bool(primary.run("replSetReconfig", config)["ok"])


def mongodb_set(*arguments: str) -> MongoDBSet:
    """A replica set.

    Args:
        arguments: Of each member's command line.
    """
    return MongoDBSet(Member(*arguments) for _ in range(MEMBERS))
