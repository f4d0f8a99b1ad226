"""Redis: Debian's, 0.1 s to start."""

from tests.servers.process import HOST, Server, ask


class RedisServer(Server):
    """A `redis-server` that keeps nothing on disk, unless its arguments say so."""

    name = "redis"
    install = "apt-get install --no-install-recommends redis-server"

    def __init__(self, *arguments: str) -> None:
        super().__init__()
        self._arguments = arguments

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"redis://{HOST}:{self.port}/0"

    def command(self) -> list[str]:
        """Later arguments win, so a test's own come last."""
        own = ["--port", str(self.port), "--bind", HOST, "--save", "", "--appendonly", "no"]
        return ["redis-server", *own, *self._arguments]

    def answers(self) -> bool:
        """Its process id tells it from somebody else's server on the same port."""
        return b"process_id:%d\r" % self.pid in ask(self.port, b"INFO server\r\n")


def redis_server(*arguments: str) -> RedisServer:
    """A Redis server; `redis_server("--appendonly", "yes")` survives `kill` with its data."""
    return RedisServer(*arguments)
