"""The base of all scenarios: one Redis, two backends, and raw calls as the floor."""

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
    """A running server, and the plan of the measurements."""

    host: str
    port: int
    pid: int
    plan: Plan

    @property
    def large(self) -> list[int]:
        """Large numbers of results; in a quick run the largest available."""
        sizes = self.plan.chords
        return [size for size in sizes if size >= LARGE] or [max(sizes)]

    def urls(self, database: int = 0) -> dict[str, str]:
        """Return the URLs of both backends by name."""
        url = self.url(database)
        return {OURS: f"kv+{url}", THEIRS: url}

    def url(self, database: int = 0) -> str:
        """Return the URL of the server itself."""
        return f"redis://{self.host}:{self.port}/{database}"

    def client(self, database: int = 0) -> "redis.Redis":
        """Return a client of the driver, with a timeout for slow machines."""
        return redis.Redis.from_url(self.url(database), socket_timeout=60)

    def places(self) -> Iterator[str]:
        """Yield each place, with this process and the server pinned to it meanwhile."""
        for place in PLACES:
            with placed(self.pid, place):
                yield place

    def fine(self) -> Plan:
        """Return a plan of many short rounds, for operations that take microseconds."""
        return self.plan._replace(rounds=3 * self.plan.rounds, run=self.plan.run / 3)


def beside(
    what: str, place: str, runs: Mapping[str, Run], rounds: int, aim: Aim | None = None
) -> Iterator[Row]:
    """Yield how many times cheaper ours is than each of the others."""
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
    """Return one of these rows; the aim, by default that of `AIMS`, applies to Celery's backend."""
    title = f"{what}, {place}"
    if other == RAW and what == "store a result, 200 B":
        return ratio(title, costs, OURS, other, at_least(1))
    aim = aim or AIMS.get(what)
    bounds = aim.at(place) if aim and other == THEIRS else ()
    return ratio(title, costs, OURS, other, *bounds)


class RawSocket:
    """A connection without a driver, which is the floor below the driver's."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._socket = socket.create_connection((place.hostname or "", place.port or 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ask(b"SELECT", place.path.strip("/").encode())

    def ask(self, *command: bytes) -> bytes:
        """Send a command, and return the first bytes of its answer."""
        pieces = [b"*%d\r\n" % len(command)]
        pieces += [b"$%d\r\n%b\r\n" % (len(each), each) for each in command]
        self._socket.sendall(b"".join(pieces))
        return self._socket.recv(65_536)
