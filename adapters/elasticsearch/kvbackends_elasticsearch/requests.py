"""Requests to the server: plain JSON over Elastic's own transport library.

The ``elasticsearch`` client above that library is slower, offers nothing that the adapter needs,
and sends media types that only servers of its own version accept.  Servers 8 and 9 both accept
plain JSON.
"""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import msgspec
from elastic_transport import ConnectionError as NoConnection
from elastic_transport import (
    ConnectionTimeout,
    NodeConfig,
    NodePool,
    TransportError,
)

from kvbackends import StoreError
from kvbackends.contract import seconds_left, uninterrupted
from kvbackends_elasticsearch.connections import Node
from kvbackends_elasticsearch.errors import TimedOut, Unavailable, error_type, failed, refused
from kvbackends_elasticsearch.turns import Turns

T = TypeVar("T")

_CUT_OFF = {"cluster_block_exception", "master_not_discovered_exception"}
"""Errors of a host that cannot reach the master of its cluster; the other hosts may."""
BUSY = "no connection to Elasticsearch became free in time; set connections_per_node"


class Answer(NamedTuple):
    """The server's answer to a request."""

    status: int
    data: bytes
    url: str
    """The URL of the host that answered, without credentials."""

    @property
    def is_absent(self) -> bool:
        """True if the document, or its index, does not exist.

        Raises `Unavailable` for a 404 of another program, such as a proxy: it is not JSON.
        """
        if self.status == 404 and not self.data.lstrip().startswith(b"{"):
            raise Unavailable(
                f"Elasticsearch at {self.url}: the answer 404 is not JSON; another program gave it"
            )
        return self.status == 404

    def accepted(self) -> bytes:
        """The body.  Raises if the status is an error."""
        if self.status >= 400:
            raise refused(self.status, self.data, self.url)
        return self.data

    def decoded(self, decode: Callable[[bytes], T]) -> T:
        """What `decode` makes of the body.  Raises if the status is an error.

        A body that is not JSON was cut on the way, or another program's: the connection is lost.
        """
        if self.status >= 400:
            raise refused(self.status, self.data, self.url)
        try:
            return decode(self.data)
        except msgspec.ValidationError as error:
            raise StoreError(f"Elasticsearch at {self.url}: unexpected answer: {error}") from error
        except msgspec.DecodeError as error:
            raise Unavailable(
                f"the answer of Elasticsearch at {self.url} is cut or not JSON ({error})"
            ) from error


class Resending(NamedTuple):
    """How often a failed read is sent to the next host, and whether also after a timeout."""

    times: int = 0
    after_timeout: bool = False


class Sender:
    """The hosts and the connections to them.  Safe from any thread."""

    def __init__(self, configs: Sequence[NodeConfig], resending: Resending) -> None:
        self._pool = NodePool(list(configs), node_class=Node)
        self._resending = resending
        self._turns = {node: Turns(node.config.connections_per_node) for node in self._pool.all()}

    @uninterrupted
    def send(self, method: str, target: str, body: bytes | None = None) -> Answer:
        """Send a request once, to one host.  Raises the exceptions of `errors.failed`."""
        node = self._pool.get()
        try:
            longest = node.config.request_timeout or threading.TIMEOUT_MAX
            with self._turns[node].one(seconds_left(longest), BUSY):
                answer = node.perform_request(method, target, body)
        except TransportError as error:
            if isinstance(error, NoConnection | ConnectionTimeout):
                _close_idle(node)
                self._avoid(node)
            raise failed(error, node.base_url) from error
        if answer.meta.status == 503 and error_type(answer.body) in _CUT_OFF:
            self._avoid(node)
        else:
            self._pool.mark_live(node)
        return Answer(answer.meta.status, answer.body, node.base_url)

    def read(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Send a request that changes nothing, again if `Resending` says so."""
        data = None if body is None else msgspec.json.encode(body)
        for _ in range(self._resending.times):
            try:
                return self.send(method, target, data)
            except Unavailable as error:
                if isinstance(error, TimedOut) and not self._resending.after_timeout:
                    raise
        return self.send(method, target, data)

    def _avoid(self, node: Any) -> None:
        """Prefer other hosts for a while."""
        if len(self._turns) > 1:  # else the pool only warns of each failure
            self._pool.mark_dead(node)

    @uninterrupted
    def close(self) -> None:
        """Close the connections."""
        for node in self._pool.all():
            node.close()


def _close_idle(node: Any) -> None:
    """Close the idle connections of urllib3's pool: they have most likely lost the same server."""
    idle, taken = node.pool.pool, []
    with suppress(queue.Empty, AttributeError):  # None if another thread has closed the pool
        while True:
            taken.append(idle.get_nowait())
    for connection in taken:
        if connection is not None:
            connection.close()  # it connects again when it is used
        idle.put_nowait(connection)
