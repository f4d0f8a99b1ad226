"""What all scenarios share: one Redis, two backends, raw calls as the floor."""

import socket
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import redis

from benchmarks.measure import PLACES, Run, interleaved, placed
from benchmarks.plan import Plan
from benchmarks.redis.aims import AIMS, RAW, Aim
from benchmarks.rows import Row, at_least, ratio

OURS, THEIRS = "kv+redis", "redis"
SOCKET = "raw socket"
LARGE = 1000


class Bench(NamedTuple):
    """A running server, and how much is measured on it."""

    host: str
    port: int
    pid: int
    plan: Plan

    @property
    def large(self) -> list[int]:
        """Sizes of sets whose size matters; in a quick run one that is not that large."""
        sizes = self.plan.chords
        return [size for size in sizes if size >= LARGE] or [max(sizes)]

    def urls(self, database: int = 0) -> dict[str, str]:
        """Of both backends, by their names."""
        url = self.url(database)
        return {OURS: f"kv+{url}", THEIRS: url}

    def url(self, database: int = 0) -> str:
        """Of the server itself."""
        return f"redis://{self.host}:{self.port}/{database}"

    def client(self, database: int = 0) -> "redis.Redis":
        """A client of the driver's own, which waits for a slow machine."""
        return redis.Redis.from_url(self.url(database), socket_timeout=60)

    def places(self) -> Iterator[str]:
        """Each place, with this process and the server pinned while the caller is at it."""
        for place in PLACES:
            with placed(self.pid, place):
                yield place

    def fine(self) -> Plan:
        """Many short rounds, for what takes microseconds."""
        return self.plan._replace(rounds=3 * self.plan.rounds, run=self.plan.run / 3)


def beside(
    what: str, place: str, runs: Mapping[str, Run], rounds: int, aim: Aim | None = None
) -> Iterator[Row]:
    """How many times cheaper ours is than each of the others."""
    costs = interleaved(runs, rounds)
    for other in costs:
        if other != OURS:
            yield compared(what, place, costs, other, aim)


def compared(
    what: str,
    place: str,
    costs: Mapping[str, list[float]],
    other: str = THEIRS,
    aim: Aim | None = None,
) -> Row:
    """One of those; the aim (or what `AIMS` has) holds beside Celery's own backend."""
    told = f"{what}, {place}"
    if other == RAW and what == "store a result, 200 B":
        return ratio(told, costs, OURS, other, at_least(1))
    aim = aim or AIMS.get(what)
    bounds = aim.at(place) if aim and other == THEIRS else ()
    return ratio(told, costs, OURS, other, *bounds)


class RawSocket:
    """One connection, without a driver: the floor below the driver's."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._socket = socket.create_connection((place.hostname or "", place.port or 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ask(b"SELECT", place.path.strip("/").encode())

    def ask(self, *command: bytes) -> bytes:
        """Send a command; the first bytes of its answer."""
        pieces = [b"*%d\r\n" % len(command)]
        pieces += [b"$%d\r\n%b\r\n" % (len(each), each) for each in command]
        self._socket.sendall(b"".join(pieces))
        return self._socket.recv(65_536)
