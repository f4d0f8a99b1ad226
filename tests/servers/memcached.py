"""memcached: Debian's, 0.1 s to start, and nothing of its data outlives it."""

import getpass
import re

from tests.servers.process import HOST, Server, ask


class MemcachedServer(Server):
    """A `memcached` with 256 MB: with less, the values of one test may displace those of another.

    Args:
        arguments: Of the command line, after our own.
    """

    name = "memcached"
    install = "apt-get install --no-install-recommends memcached"

    def __init__(self, *arguments: str) -> None:
        super().__init__()
        self._arguments = arguments

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"memcached://{HOST}:{self.port}"

    @property
    def version(self) -> str:
        """The version, as its statistics give it."""
        found = re.search(rb"STAT version (\S+)", self._statistics())
        assert found
        return found[1].decode()

    def command(self) -> list[str]:
        """It refuses to run as root unless it is told to."""
        network = ["-l", HOST, "-p", str(self.port), "-U", "0"]
        return ["memcached", "-u", getpass.getuser(), *network, "-m", "256", *self._arguments]

    def answers(self) -> bool:
        """Its process id tells it from somebody else's server on the same port."""
        return b"STAT pid %d\r" % self.pid in self._statistics()

    def _statistics(self) -> bytes:
        return ask(self.port, b"stats\r\n")


def memcached_server(*arguments: str) -> MemcachedServer:
    """A memcached server, with more arguments for its command line if need be."""
    return MemcachedServer(*arguments)
