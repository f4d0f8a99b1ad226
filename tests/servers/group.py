"""Several servers that serve together: started at once, put together, stopped together."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Generic, Self, TypeVar

from tests.servers.failure import TAIL, ServerFailed
from tests.servers.network import Network
from tests.servers.process import Server, eventually

Node = TypeVar("Node", bound=Server)


class Group(ABC, Generic[Node]):
    """A context manager, as a single server is.

    Args:
        nodes: All of its servers; `kill`, `restart`, `pause` and `resume` are theirs.
    """

    name: ClassVar[str]
    #: Seconds until they must serve together.
    patience: ClassVar[float] = 60.0

    def __init__(self, nodes: Iterable[Node]) -> None:
        self.nodes = list(nodes)
        self.network: Network | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect to."""

    @abstractmethod
    def put_together(self) -> None:
        """Start what is left to start, and tell the servers of each other."""

    @abstractmethod
    def serves(self) -> bool:
        """Whether they serve together, as many copies as there shall be; may raise OSError."""

    def place(self, node: Node) -> None:
        """Give a node that is added a host that no other one has."""
        if self.network:
            taken = [each.host for each in self.nodes]
            node.host = next(each for each in self.network.hosts if each not in taken)

    @property
    def version(self) -> str:
        """The version that the first server gives."""
        return self.nodes[0].version

    @property
    def pids(self) -> list[int]:
        """The process ids of all."""
        return [node.pid for node in self.nodes]

    def download(self) -> None:
        """Get the programs."""
        self.nodes[0].download()

    def apart(self, spare: int = 0) -> Self:
        """Give each node a host of its own, on a network that can be cut; before the start.

        Args:
            spare: Hosts for nodes that are added later.
        """
        self.network = Network(len(self.nodes) + spare)
        return self

    def start(self) -> Self:
        """Start all, and wait until they serve together."""
        try:
            if self.network:
                self.network.start()
                for node, host in zip(self.nodes, self.network.hosts, strict=False):
                    node.host = host
            self.put_together()
            self.settle()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop all, and remove what they wrote; may be repeated."""
        for node in self.nodes:
            node.stop()
        if self.network:
            self.network.stop()

    def settle(self) -> None:
        """Wait until they serve together; after a kill, `restart` what was killed before.

        Raises:
            ServerFailed: They did not in time.
        """
        if not eventually(self._serves, self.patience):
            output = "\n".join(node.output()[-TAIL:] for node in self.nodes)
            raise ServerFailed(f"{self.name} did not serve in {self.patience:g} s.\n{output}")

    def _serves(self) -> bool:
        with contextlib.suppress(OSError):
            return self.serves()
        return False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_all(servers: Iterable[Server]) -> None:
    """Start servers at the same time."""
    starts: list[Callable[[], Server]] = [server.start for server in servers]
    with ThreadPoolExecutor(len(starts)) as threads:
        for started in [threads.submit(start) for start in starts]:
            started.result()
