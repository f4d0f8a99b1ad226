"""A Redis primary with replicas, watched by three Sentinels; all want passwords. 3 s to start."""

import contextlib
import json
import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, quote

from tests.servers.downloads import Wheel
from tests.servers.failure import ServerFailed
from tests.servers.group import Group, start_all
from tests.servers.process import eventually
from tests.servers.redis import DEBIAN, RedisServer, wheel_of
from tests.servers.redis_access import TLSMember, trust_each_other

SENTINELS = 3
PRIMARY_NAME = "kv"
PASSWORD = "of-the-data"
SENTINELS_PASSWORD = "of-the-sentinels"


class Replicated(RedisServer):
    """A server whose role stands in a file, where the Sentinels change it."""

    name = "redis-replicated"

    def __init__(self, *arguments: str, wheel: Wheel | None = None) -> None:
        super().__init__(*arguments, wheel=wheel, password=PASSWORD)
        self.follows: RedisServer | None = None

    def prepare(self) -> None:
        """The role that it starts with."""
        super().prepare()
        lines = [f"masterauth {PASSWORD}"]
        if self.follows:
            lines.append(f"replicaof {self.follows.host.address} {self.follows.port}")
        (self.folder / "redis.conf").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        """The file comes before the other arguments."""
        program, *arguments = super().command()
        return [program, "redis.conf", *arguments]


class Sentinel(RedisServer):
    """One Sentinel; what it knows survives `kill` and `restart`."""

    name = "redis-sentinel"

    def __init__(self, watched: RedisServer, wheel: Wheel | None = None) -> None:
        super().__init__(wheel=wheel, password=SENTINELS_PASSWORD)
        self._watched = watched

    def prepare(self) -> None:
        """It wants a file of its own that it can write."""
        super().prepare()
        watched = self._watched
        lines = (
            f"port {self.port}",
            f"bind {self.host.address}",
            f"requirepass {self.password}",
            f"sentinel sentinel-pass {self.password}",
            f"sentinel monitor {PRIMARY_NAME} {watched.host.address} {watched.port} 2",
            f"sentinel auth-pass {PRIMARY_NAME} {watched.password}",
            f"sentinel down-after-milliseconds {PRIMARY_NAME} 1000",
            f"sentinel failover-timeout {PRIMARY_NAME} 3000",
        )
        (self.folder / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        """Nearly all that it is told stands in its file."""
        return [self.program(), "sentinel.conf", "--sentinel", *self.settings()]

    def settings(self) -> list[str]:
        """Nothing but what a kind of server adds."""
        return []


class TLSReplicated(TLSMember, Replicated):
    """Such a server with TLS."""


class TLSSentinel(TLSMember, Sentinel):
    """A Sentinel that speaks TLS, to the servers as well."""


class RedisSentinel(Group[RedisServer]):
    """A primary, replicas and three Sentinels, which promote a replica 2 s after a kill.

    Args:
        data: The primary and its replicas.
        sentinels: Who watches the primary.
    """

    name = "redis-sentinel"

    def __init__(self, data: Sequence[Replicated], sentinels: Sequence[Sentinel]) -> None:
        super().__init__([*data, *sentinels])
        self.data = data
        self.sentinels = sentinels
        for each in data[1:]:
            each.follows = data[0]

    @property
    def url(self) -> str:
        """The URL that names every Sentinel; with several replicas each write waits for one."""
        places = ";".join(f"{sentinel.host.address}:{sentinel.port}" for sentinel in self.sentinels)
        one = self.data[0].query
        options = f"master_name={PRIMARY_NAME}&sentinel_password={SENTINELS_PASSWORD}"
        options += "&wait_replicas=1" * (len(self.data) > 2)  # a write can go on without one node
        return f"sentinel://:{PASSWORD}@{places}/0{one}{'&' if one else '?'}{options}{self._tls}"

    @property
    def _tls(self) -> str:
        """The option that makes redis-py speak TLS with the Sentinels."""
        options = parse_qsl(self.sentinels[0].query.removeprefix("?"))
        arguments = json.dumps({"ssl": True, **dict(options)})
        return f"&sentinel_kwargs={quote(arguments)}" if options else ""

    def put_together(self) -> None:
        """Sentinels start last: one that misses a replica looks again only ten seconds later."""
        for server in self.data:
            server.start()
        eventually(self._replicas_are_online, self.patience)
        start_all(self.sentinels)

    def _replicas_are_online(self) -> bool:
        replicas = len(self.data) - 1
        return self.data[0].run("INFO replication").count("state=online") == replicas

    def serves(self) -> bool:
        """Whether each replica has all, and each Sentinel knows the replicas and the others."""
        whole = f"status=ok,.*,slaves={len(self.data) - 1},sentinels={len(self.sentinels)}"
        known = all(re.search(whole, each.run("INFO sentinel")) for each in self.sentinels)
        primary = self.primary_of()
        replicas = [each.run("INFO replication") for each in self.data if each is not primary]
        return known and all(
            "role:slave" in told and "master_link_status:up" in told for told in replicas
        )

    def primary_of(self, key: str = "") -> RedisServer:
        """The server that the Sentinels name now; it has all keys."""
        for sentinel in self.sentinels:
            with contextlib.suppress(OSError):
                answer = sentinel.run(f"SENTINEL GET-MASTER-ADDR-BY-NAME {PRIMARY_NAME}")
                return next(each for each in self.data if f"\r\n{each.port}\r\n" in answer)
        raise ServerFailed(f"{self.name}: no Sentinel answers")

    def replica_of(self, key: str = "") -> RedisServer:
        """Another one, whether it runs or not."""
        primary = self.primary_of(key)
        return next(each for each in self.data if each is not primary)


def redis_sentinel(*arguments: str, version: str = DEBIAN, replicas: int = 1) -> RedisSentinel:
    """A primary, its replicas and three Sentinels, all with passwords.

    Args:
        arguments: Of the command lines of primary and replicas.
        version: "7.0", "6.2", "8" or "valkey".
        replicas: With two a write can be confirmed by one while another node is away.
    """
    wheel = wheel_of(version)
    data = [Replicated(*arguments, wheel=wheel) for _ in range(1 + replicas)]
    return RedisSentinel(data, [Sentinel(data[0], wheel) for _ in range(SENTINELS)])


def redis_tls_sentinel(*arguments: str) -> RedisSentinel:
    """The same with TLS and client certificates, in Debian's version: no other knows `--tls-port`.

    Args:
        arguments: Of the command lines of primary and replica.
    """
    data = [TLSReplicated(*arguments) for _ in range(2)]
    sentinels = [TLSSentinel(data[0]) for _ in range(SENTINELS)]
    trust_each_other([*data, *sentinels])
    return RedisSentinel(data, sentinels)
