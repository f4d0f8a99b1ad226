"""Three memcached servers that know nothing of each other: the client distributes the keys."""

from tests.servers.group import Group, start_all
from tests.servers.memcached import MemcachedServer
from tests.servers.process import HOST

SERVERS = 3


class MemcachedNodes(Group[MemcachedServer]):
    """Three servers; each key belongs to one of them."""

    name = "memcached-nodes"

    @property
    def url(self) -> str:
        """The URL that names every server."""
        return f"memcached://{';'.join(f'{HOST}:{each.port}' for each in self.nodes)}"

    def put_together(self) -> None:
        """Start all."""
        start_all(self.nodes)

    def serves(self) -> bool:
        """Whether each answers."""
        return all(each.answers() for each in self.nodes)


def memcached_nodes(*arguments: str) -> MemcachedNodes:
    """Three memcached servers.

    Args:
        arguments: Of each one's command line.
    """
    return MemcachedNodes(MemcachedServer(*arguments) for _ in range(SERVERS))
