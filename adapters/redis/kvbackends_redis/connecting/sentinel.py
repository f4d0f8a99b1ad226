"""Connections to the primary that Sentinels name."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import redis
from redis.exceptions import ConnectionError as NotConnected
from redis.sentinel import Sentinel

from kvbackends.contract import PerProcess

Address = tuple[str, int]

HELLO = "HELLO"
"""Asks a server about itself; every user may send it."""


class Sentinels:
    """The Sentinels that know the primary's address.

    Args:
        addresses: Of the Sentinels; the one that answered last is asked first.
        name: Under which they know the primary.
        least: A Sentinel that knows fewer others is ignored.
        arguments: redis-py's, for the connections to them.
    """

    def __init__(
        self, addresses: Sequence[Address], name: str, least: int, arguments: Mapping[str, Any]
    ) -> None:
        self._addresses = addresses
        self._name = name
        self._least = least
        self._arguments = arguments
        self._driver = PerProcess(self._make)

    def primary(self) -> Address:
        """The primary's current address; raises redis-py's errors."""
        driver, one_at_a_time = self._driver()
        with one_at_a_time:  # redis-py reorders its list of Sentinels, which is not thread-safe
            try:
                host, port = driver.discover_master(self._name)
            finally:
                for each in driver.sentinels:  # the next question is seldom soon
                    each.connection_pool.disconnect()
        return str(host), int(port)

    def _make(self) -> tuple[Any, threading.Lock]:
        driver: Any = Sentinel  # it has no types
        arguments = {"min_other_sentinels": self._least, "sentinel_kwargs": self._arguments}
        return driver(self._addresses, **arguments), threading.Lock()


class _ToPrimary:
    """Asks for the primary each time it connects, and checks that it is one."""

    def __init__(self, *, sentinels: Sentinels, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._sentinels = sentinels
        self.register_connect_callback(self._check_role)  # type: ignore[attr-defined]

    def _connect(self) -> Any:
        self.host, self.port = self._sentinels.primary()
        return super()._connect()  # type: ignore[misc]

    def _check_role(self, connection: Any) -> None:
        """Raise if the server is a replica: the Sentinels' answer may be outdated."""
        connection.send_command(HELLO, check_health=False)
        if field_of(connection.read_response(), "role") != "master":
            connection.disconnect()
            raise NotConnected("the server that the Sentinels name is not the primary")


class PrimaryConnection(_ToPrimary, redis.Connection):
    """A plain connection to the primary."""


class SSLPrimaryConnection(_ToPrimary, redis.SSLConnection):
    """A TLS connection to the primary."""


def field_of(answer: Any, name: str) -> str:
    """A field of the answer to HELLO: a list in RESP2, a map in RESP3; '' if it is missing."""
    fields = (
        answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
    )
    value = fields.get(name.encode(), fields.get(name, ""))
    return value.decode() if isinstance(value, bytes) else str(value)
