"""Requests to the server: plain JSON over Elastic's own transport library.

The ``elasticsearch`` client above that library is slower, offers nothing that the adapter needs,
and sends media types that only servers of its own version accept.  Servers 8 and 9 both accept
plain JSON.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from elastic_transport import ConnectionError as NoConnection
from elastic_transport import (
    ConnectionTimeout,
    NodeConfig,
    NodePool,
    TransportError,
)

from kvbackends.contract import seconds_left, uninterrupted
from kvbackends_elasticsearch.connections import Node
from kvbackends_elasticsearch.errors import TimedOut, Unavailable, failed, refused
from kvbackends_elasticsearch.turns import Turns


class Answer(NamedTuple):
    """The server's answer to a request."""

    status: int
    data: bytes
    url: str
    """The URL of the host that answered, without credentials."""

    def accepted(self) -> bytes:
        """The body.  Raises if the status is an error."""
        if self.status >= 400:
            raise refused(self.status, self.data, self.url)
        return self.data


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
            with self._turns[node].one(seconds_left(longest)):
                answer = node.perform_request(method, target, body)
        except TimeoutError:
            raise TimedOut(
                f"no connection to Elasticsearch at {node.base_url} became free in time; set "
                "connections_per_node"
            ) from None
        except TransportError as error:
            several = len(self._turns) > 1  # else the pool only warns of each failure
            if several and isinstance(error, NoConnection | ConnectionTimeout):
                self._pool.mark_dead(node)  # the pool prefers other hosts for a while
            raise failed(error, node.base_url) from error
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

    @uninterrupted
    def close(self) -> None:
        """Close the connections."""
        for node in self._pool.all():
            node.close()
