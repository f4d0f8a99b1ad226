"""Commands that a Redis server refuses, for ever or for a while: each situation on a real one.

A situation begins with a server that a worker could use.  It yields how to end it.
"""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import redis

from tests.servers.process import HOST, eventually
from tests.servers.redis import RedisServer, wheel_of
from tests.servers.redis_cluster import SLOTS, ClusterNode

USER, SECRET = "worker", "s3cret-of-the-worker"
KEY = "celery-task-meta-in-trouble"
"""The task whose result is to be stored; some situations are about this one key."""

EVERYTHING = ("allkeys", "allchannels", "+@all")

End = Callable[[], object]


NEVER = object()
"""Returned by an end that is none: another URL has to be used."""


class Place:
    """A server, its administrator, and the URL that a worker is given."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.user, self.password, self.database = USER, SECRET, 0
        self.admin = redis.Redis(HOST, server.port, single_connection_client=True, protocol=2)

    @property
    def url(self) -> str:
        login = f"{self.user}:{self.password}@" if self.password else ""
        return f"redis://{login}{HOST}:{self.server.port}/{self.database}?socket_timeout=0.3"

    def setting(self, name: str, value: object) -> End:
        """Change a setting; how to change it back."""
        before = self.admin.config_get(name)[name]
        self.admin.config_set(name, value)
        return lambda: self.admin.config_set(name, before)

    def rules(self, *rules: str) -> End:
        """Change what the worker may do; how to let it do everything again."""
        self.admin.execute_command("ACL", "SETUSER", USER, *rules)
        return lambda: self.admin.execute_command("ACL", "SETUSER", USER, *EVERYTHING)


Situation = Callable[[Place], Generator[End]]


WORKS, RETRIED, REPORTED = "works", "retried", "reported"


class Case(NamedTuple):
    """A situation, and what becomes of a worker and of a client in it.

    Args:
        begin: Brings it about.
        writes: Storing a result works, is tried again until `retry_timeout`, or is reported.
        reads: The same of reading one.
        says: What the message has, a regular expression.
        stored: Whether the result is there, also where it is reported.
        arguments: Of the server's command line.
    """

    begin: Situation
    writes: str
    reads: str
    says: str
    stored: bool = False
    arguments: tuple[str, ...] = ()


@contextmanager
def trouble(case: Case, version: str) -> Iterator[tuple[Place, End]]:
    """A server in this situation, and how to end it."""
    kind = ClusterNode if "cluster" in case.begin.__name__ else RedisServer
    user = "--user", USER, "on", f">{SECRET}", *EVERYTHING
    with kind(*user, *case.arguments, wheel=wheel_of(version)) as server:
        place = Place(server)
        with contextmanager(case.begin)(place) as end:
            yield place, end
        place.admin.close()


# ------------------------------------------------------------------------------ memory and disk


def no_memory(place: Place) -> Generator[End]:
    yield place.setting("maxmemory", 1)


def no_disk(place: Place) -> Generator[End]:
    """No snapshot can be written: a folder stands where the file belongs."""
    in_the_way = place.server.folder / "dump.rdb"
    in_the_way.mkdir()
    place.admin.config_set("save", "3600 1")
    place.admin.bgsave()
    assert eventually(lambda: place.admin.info()["rdb_last_bgsave_status"] == "err")

    def end() -> None:
        in_the_way.rmdir()
        place.admin.bgsave()
        assert eventually(lambda: place.admin.info()["rdb_last_bgsave_status"] == "ok")

    yield end


# ------------------------------------------------------------------------------- permissions


def no_password(place: Place) -> Generator[End]:
    place.user = place.password = ""
    yield place.setting("requirepass", SECRET)


def wrong_password(place: Place) -> Generator[End]:
    place.password = f"not-{SECRET}"
    yield lambda: place.rules(f">{place.password}")


def command_forbidden(place: Place) -> Generator[End]:
    yield place.rules("-evalsha", "-eval")


def key_forbidden(place: Place) -> Generator[End]:
    yield place.rules("resetkeys", "~other-*")


def channel_forbidden(place: Place) -> Generator[End]:
    """The result is stored before the notice is refused."""
    yield place.rules("resetchannels", "&other-*")


def no_such_database(place: Place) -> Generator[End]:
    place.database = 99
    yield lambda: NEVER


def another_type(place: Place) -> Generator[End]:
    place.admin.lpush(KEY, "x")
    yield lambda: place.admin.delete(KEY)


# --------------------------------------------------------------------------- states that pass


def a_replica(place: Place) -> Generator[End]:
    place.admin.replicaof("127.0.0.1", 1)
    yield lambda: place.admin.replicaof("NO", "ONE")


def a_replica_without_primary(place: Place) -> Generator[End]:
    place.admin.config_set("replica-serve-stale-data", "no")
    yield from a_replica(place)


def no_replicas(place: Place) -> Generator[End]:
    yield place.setting("min-replicas-to-write", 1)


def loading(place: Place) -> Generator[End]:
    """It reads its keys from the disk for 20 s, and answers meanwhile."""
    value = "v" * 500  # two to a turn of its event loop, so that it answers within milliseconds
    place.admin.mset({f"key-{number}": value for number in range(40_000)})
    place.admin.save()
    place.admin.close()
    place.server.kill()
    starting = threading.Thread(target=place.server.restart)
    starting.start()
    assert eventually(lambda: _is_loading(place.admin))

    def end() -> None:
        place.admin.config_set("key-load-delay", 0)
        starting.join()

    yield end
    end()


def _is_loading(admin: redis.Redis) -> bool:
    with suppress(redis.ConnectionError):
        return bool(admin.info("persistence")["loading"])
    return False


def busy(place: Place) -> Generator[End]:
    """Somebody's script does not end."""
    place.admin.config_set("lua-time-limit", 5)

    def forever() -> None:
        with redis.Redis(HOST, place.server.port) as client, suppress(redis.RedisError):
            client.eval("while true do end", 0)

    thread = threading.Thread(target=forever)
    thread.start()
    assert eventually(lambda: _is_busy(place.admin))

    def end() -> None:
        with suppress(redis.RedisError):
            place.admin.script_kill()

    yield end
    end()
    thread.join()


def _is_busy(admin: redis.Redis) -> bool:
    try:
        admin.ping()
    except redis.ResponseError as error:
        return str(error).startswith("BUSY")
    return False


def too_many_clients(place: Place) -> Generator[End]:
    yield place.setting("maxclients", 1)


def stopped(place: Place) -> Generator[End]:
    place.server.pause()
    yield place.server.resume
    place.server.resume()


def killed(place: Place) -> Generator[End]:
    place.server.kill()
    yield place.server.restart


def scripts_forgotten(place: Place) -> Generator[End]:
    place.admin.script_flush()
    yield lambda: None


# ------------------------------------------------------------------- a URL of one server, a cluster


def cluster_without_slots(place: Place) -> Generator[End]:
    yield lambda: place.admin.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS))


def cluster_moved(place: Place) -> Generator[End]:
    """All slots are another node's."""
    with _neighbour(place) as other:
        with redis.Redis(HOST, other.port) as neighbour:
            neighbour.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS))
        assert eventually(lambda: "cluster_state:ok" in place.server.run("CLUSTER INFO"), 30)
        yield lambda: NEVER


def cluster_ask(place: Place) -> Generator[End]:
    """The key's slot is on its way to another node."""
    with _neighbour(place) as other:
        slot = place.admin.execute_command("CLUSTER", "KEYSLOT", KEY)
        place.admin.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS))
        assert eventually(lambda: "cluster_state:ok" in place.server.run("CLUSTER INFO"), 30)
        place.admin.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", other.id)
        yield lambda: place.admin.execute_command("CLUSTER", "SETSLOT", slot, "STABLE")


@contextmanager
def _neighbour(place: Place) -> Iterator[ClusterNode]:
    with ClusterNode(*ALONE, wheel=place.server._wheel) as other:
        place.admin.execute_command("CLUSTER", "MEET", HOST, other.port, other.ports[1])
        assert eventually(lambda: other.id in place.server.run("CLUSTER NODES"), 30)
        assert eventually(lambda: "cluster_known_nodes:2" in other.run("CLUSTER INFO"), 30)
        yield other


ALONE = ("--cluster-require-full-coverage", "no")
SLOW = (
    *("--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"),
    *("--rdbcompression", "no"),
)

CASES: dict[str, Case] = {
    "OOM": Case(no_memory, REPORTED, WORKS, "maxmemory"),
    "MISCONF": Case(no_disk, REPORTED, WORKS, "RDB snapshots"),
    "NOAUTH": Case(no_password, REPORTED, REPORTED, "[Aa]uthentication required"),
    "WRONGPASS": Case(wrong_password, REPORTED, REPORTED, "username-password pair"),
    "NOPERM command": Case(command_forbidden, REPORTED, WORKS, "no permissions to run"),
    "NOPERM key": Case(key_forbidden, REPORTED, REPORTED, "access (?:one of the keys|a key)"),
    "NOPERM channel": Case(channel_forbidden, REPORTED, WORKS, "channel", stored=True),
    "no such database": Case(no_such_database, REPORTED, REPORTED, "DB index is out of range"),
    "WRONGTYPE": Case(another_type, REPORTED, REPORTED, "WRONGTYPE"),
    "MOVED": Case(cluster_moved, REPORTED, REPORTED, r"redis\+cluster://", arguments=ALONE),
    "ASK": Case(cluster_ask, REPORTED, REPORTED, r"redis\+cluster://", arguments=ALONE),
    "READONLY": Case(a_replica, RETRIED, WORKS, "read only replica"),
    "MASTERDOWN": Case(a_replica_without_primary, RETRIED, RETRIED, "MASTER is down"),
    "NOREPLICAS": Case(no_replicas, RETRIED, WORKS, "Not enough good replicas"),
    "LOADING": Case(loading, RETRIED, RETRIED, "loading", arguments=SLOW),
    "BUSY": Case(busy, RETRIED, RETRIED, "busy running a script"),
    "CLUSTERDOWN": Case(cluster_without_slots, RETRIED, RETRIED, "not served|is down"),
    "too many clients": Case(too_many_clients, RETRIED, RETRIED, "max number of clients"),
    "no answer": Case(stopped, RETRIED, RETRIED, "Timeout"),
    "no server": Case(killed, RETRIED, RETRIED, "refused"),
    "NOSCRIPT": Case(scripts_forgotten, WORKS, WORKS, "", stored=True),
}
