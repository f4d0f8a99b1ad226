"""Connections to the primary that Sentinels name."""

import re
import socket
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import redis
from redis.exceptions import ConnectionError as NotConnected
from redis.sentinel import MasterNotFoundError, Sentinel

from kvbackends.contract import ServerAddress, seconds_left

Address = tuple[str, int]

HELLO = "HELLO"
"""Asks a server about itself; every user may send it."""
_CLIENT = re.compile(r"<redis\.client\.Redis\(.*?\bhost=([^,]*),port=(\d+).*?\)>\)>\)>")
"""How redis-py names a Sentinel in its error."""


class _Newest(Sentinel):
    """Passes over a Sentinel that knows less than was known: it is cut off with an old primary."""

    epoch = 0
    """Of the latest failover that is known."""

    def check_master_state(self, state: Mapping[str, Any], service_name: str) -> bool:
        """True if this Sentinel's answer counts."""
        epoch, untyped = int(state.get("config-epoch", 0)), cast("Any", super())
        if epoch < self.epoch or not untyped.check_master_state(state, service_name):
            return False
        self.epoch = epoch
        return True


class Leaving(Protocol):
    """Connections to a primary."""

    def leave(self) -> None:
        """Connect anew on next use, each connection."""


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
        self._named: Address | None = None
        self._epoch = 0
        self._users: weakref.WeakSet[Leaving] = weakref.WeakSet()

    def tell(self, connections: Leaving) -> None:
        """Let these connections leave the primary as soon as a Sentinel names another one."""
        self._users.add(connections)

    @property
    def server(self) -> ServerAddress:
        """One of the Sentinels."""
        host, port = self._addresses[0]
        return ServerAddress(host, port, bool(self._arguments.get("ssl")))

    def rotate(self) -> None:
        """Ask another Sentinel first the next time."""
        self._addresses = [*self._addresses[1:], self._addresses[0]]

    def primary(self) -> Address:
        """The primary's current address; raises redis-py's errors."""
        try:
            return self.named()
        except MasterNotFoundError as error:
            words = _CLIENT.sub(r"\1:\2", str(error))
            raise MasterNotFoundError(words) from self._unresolved()

    def named(self) -> Address:
        """The same, with redis-py's own error where no Sentinel knows the primary."""
        kind: Any = _Newest
        # A driver for each question: the deadline is another one, and the next is seldom soon.
        driver = kind(
            self._addresses, min_other_sentinels=self._least, sentinel_kwargs=self._bounded()
        )
        driver.epoch = self._epoch
        try:
            host, port = driver.discover_master(self._name)
        except MasterNotFoundError:
            self._epoch = 0  # new Sentinels may count anew
            raise
        finally:
            for each in driver.sentinels:
                each.connection_pool.disconnect()
        self._epoch = driver.epoch
        places = [each.connection_pool.connection_kwargs for each in driver.sentinels]
        self._addresses = [(place["host"], place["port"]) for place in places]
        before, self._named = self._named, (str(host), int(port))
        if before not in {None, self._named}:
            for each in list(self._users):
                each.leave()
        return self._named

    def _unresolved(self) -> OSError | None:
        """Why no Sentinel's name can be resolved, which redis-py does not tell; None if one can."""
        failed = None
        for host, port in self._addresses:
            try:
                socket.getaddrinfo(host, port)
            except OSError as error:
                failed = error
            else:
                return None
        return failed

    def _bounded(self) -> dict[str, Any]:
        """The arguments, with timeouts that give each Sentinel its share of the time."""
        share = seconds_left() / len(self._addresses)
        names = "socket_timeout", "socket_connect_timeout"
        return {
            **self._arguments,
            **{name: min(self._arguments.get(name) or share, share) for name in names},
        }


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
