"""A MongoDB replica set of three members: 5 s to start, 400 MB."""

from tests.servers.group import Group, start_all
from tests.servers.mongodb import REPLICA_SET, MongoDBServer
from tests.servers.process import HOST

MEMBERS = 3
PRIMARY, SECONDARY = 1, 2  # states of members, mongodb.com/docs/manual/reference/replica-states
# A member that stands still is deposed after so many milliseconds; by default after 10,000.
ELECTION = 2_000


class Member(MongoDBServer):
    """One member, which knows nothing of the others before the set is put together."""

    name = "mongodb-member"

    @property
    def address(self) -> str:
        """Its name in the set."""
        return f"{HOST}:{self.port}"

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

    def _primaries(self) -> list[Member]:
        running = (each for each in self.nodes if each.runs())
        return [each for each in running if each.run("hello").get("isWritablePrimary")]


def mongodb_set(*arguments: str) -> MongoDBSet:
    """A replica set.

    Args:
        arguments: Of each member's command line.
    """
    return MongoDBSet(Member(*arguments) for _ in range(MEMBERS))
