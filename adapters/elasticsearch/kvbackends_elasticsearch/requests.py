"""Requests to the server: JSON over the connections of Elastic's own transport library.

The client library above that one costs time, brings nothing that is needed here, and sends media
types that name its own version.  Plain JSON is understood by the servers 8 and 9 alike.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from elastic_transport import ConnectionError as NoConnection
from elastic_transport import (
    ConnectionTimeout,
    NodeConfig,
    NodePool,
    TransportError,
    Urllib3HttpNode,
)

from kvbackends_elasticsearch.errors import TimedOut, Unavailable, failed, refused


class Answer(NamedTuple):
    """What the server said."""

    status: int
    data: bytes

    def accepted(self) -> bytes:
        """The body; raises where the status is an error."""
        if self.status >= 400:
            raise refused(self.status, self.data)
        return self.data


class Resending(NamedTuple):
    """When a read is sent again, to the next host."""

    times: int = 0
    after_timeout: bool = False


class Sender:
    """The hosts and the connections to them; safe from any thread."""

    def __init__(self, configs: Sequence[NodeConfig], resending: Resending) -> None:
        self._pool = NodePool(list(configs), node_class=Urllib3HttpNode)
        self._resending = resending

    def send(self, method: str, target: str, body: bytes | None = None) -> Answer:
        """One request, sent once, to one host."""
        node = self._pool.get()
        try:
            answer = node.perform_request(method, target, body)
        except TransportError as error:
            if isinstance(error, NoConnection | ConnectionTimeout):
                self._pool.mark_dead(node)  # others are asked for a while, if there are others
            raise failed(error, node.host) from error
        self._pool.mark_live(node)
        return Answer(answer.meta.status, answer.body)

    def read(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> Answer:
        """A request that changes nothing: it may be sent again."""
        data = None if body is None else msgspec.json.encode(body)
        for _ in range(self._resending.times):
            try:
                return self.send(method, target, data)
            except Unavailable as error:
                if isinstance(error, TimedOut) and not self._resending.after_timeout:
                    raise
        return self.send(method, target, data)

    def close(self) -> None:
        """Close the connections."""
        for node in self._pool.all():
            node.close()
