"""Stores that do not bear what a network may do."""

import logging
import os
import pickle
from collections.abc import Iterable
from typing import Any

from kvbackends.contract import Barrier, Entry, Fact, Offer, Part, RankOf, StoreURL
from kvbackends.contract.paged import PagedBarrier
from kvbackends.contract.process import PerProcess
from tests.broken_stores.network import HEAD, Connection, NetworkStore, ServerLost
from tests.broken_stores.reference import ReferenceStore
from tests.broken_stores.registry import caught_by

logger = logging.getLogger(__name__)


@caught_by("network.cut_anywhere")
class CutIsTheEnd(NetworkStore):
    """What had come before the connection was closed is taken for the whole value."""

    class connection_type(Connection):  # noqa: N801 - the name that the store asks for
        def whole(self, file: Any, size: int) -> bytes:
            data: bytes = file.read(size)
            if size > HEAD.size and len(data) < size:
                self.close()
                return pickle.dumps(data)
            return data if len(data) == size else super().whole(file, size)

    def get(self, key: str) -> Entry | None:
        entry = super().get(key)
        return Entry(entry, entry) if isinstance(entry, bytes) else entry


@caught_by("network.cut_anywhere")
class CutIsAbsent(NetworkStore):
    """A lost connection reads as an absent key (``except OSError: return None``)."""

    def get(self, key: str) -> Entry | None:
        try:
            return super().get(key)
        except ServerLost as error:
            if isinstance(error.__cause__, EOFError):
                return None
            raise


@caught_by("network.cut_anywhere")
class CutIsFinal(NetworkStore):
    """The error of a connection that was closed is not named transient, and nothing is repeated."""

    class connection_type(Connection):  # noqa: N801
        def lost(self, error: Exception) -> Exception:
            return error if isinstance(error, EOFError) else super().lost(error)


@caught_by("network.cut_anywhere")
class RestIsTheNextAnswer(NetworkStore):
    """A connection is kept after an error, and the next call reads what is left on it."""

    class connection_type(Connection):  # noqa: N801
        turn = 0

        def received(self, bounded: Any) -> Any:
            self.turn += 1
            if self.turn % 7 == 6:
                error = ServerLost("interrupted")
                self.kept, self.socket = self.socket, None
                raise error
            return super().received(bounded)

        def connect(self) -> None:
            kept = vars(self).pop("kept", None)
            if kept is None:
                super().connect()
            else:
                self.socket = kept


@caught_by("network.silence")
class WaitsForEver(NetworkStore):
    """A socket without a timeout: a silent server hangs its caller."""

    class connection_type(Connection):  # noqa: N801
        def bounded(self) -> Any:
            return _Unbounded(self.socket)


@caught_by("network.silence")
class SilenceIsAbsent(NetworkStore):
    """A server that does not answer in time has nothing, says the store."""

    def get(self, key: str) -> Entry | None:
        try:
            return super().get(key)
        except ServerLost as error:
            if isinstance(error.__cause__, TimeoutError):
                return None
            raise


class _Unbounded:
    def __init__(self, sock: Any) -> None:
        sock.settimeout(None)
        self.send, self._sock = sock.sendall, sock

    def reader(self) -> Any:
        return self._sock.makefile("rb")


@caught_by("network.closed_port")
class PingsNobody(NetworkStore):
    """`ping` asks whether there is a client, and not whether there is a server."""

    def ping(self) -> None:
        self.connection()


@caught_by("network.closed_port")
class NamesNoAddress(NetworkStore):
    """The error says that the connection was refused, and not by whom; it is not transient."""

    class connection_type(Connection):  # noqa: N801
        def lost(self, error: Exception) -> Exception:
            return error


@caught_by("network.close_cut_short")
class ResultBeforeTheTombstone(NetworkStore):
    """Closing stores the result first; a process that dies then leaves a result and a claim."""

    def barrier(self, name: str, ttl: float | None = None) -> Barrier:
        return _ResultFirst(self, name, ttl)


class _ResultFirst(PagedBarrier):
    def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
        if offer is not None:
            self.store.offer(offer, rank_of)
        super().close(part, None, rank_of)


@caught_by("network.close_cut_short")
class RemovalBeforeTheTombstone(NetworkStore):
    """Closing removes the parts first; the next dispatch of the chord has none."""

    def barrier(self, name: str, ttl: float | None = None) -> Barrier:
        return _RemovalFirst(self, name, ttl)


class _RemovalFirst(PagedBarrier):
    def close(self, part: Part, offer: Offer | None, rank_of: RankOf) -> None:
        self.discard(self.snapshot())
        super().close(part, offer, rank_of)


@caught_by("secrets.in_no_message")
class QuotesItsUrl(NetworkStore):
    """The error of a closed port quotes the whole URL."""

    class connection_type(Connection):  # noqa: N801
        def lost(self, error: Exception) -> Exception:
            return ServerLost(f"{self.url.raw.reveal()}: {error!r}")


@caught_by("secrets.in_no_message")
class LogShowsRequests(NetworkStore):
    """Requests are logged for whoever debugs, the first one with the password, too."""

    class connection_type(Connection):  # noqa: N801
        def send(self, bounded: Any, data: bytes) -> None:
            logger.debug("sending %r", data)
            super().send(bounded, data)


@caught_by("secrets.in_no_message")
class RefusalShowsThePassword(NetworkStore):
    """The server's refusal is passed on with what it was told."""

    class connection_type(Connection):  # noqa: N801
        def connect(self) -> None:
            try:
                super().connect()
            except Exception as error:
                password = self.url.password
                error.add_note(f"password {password and password.reveal()!r}")
                raise


@caught_by("secrets.own_url")
class SaysWhereItIs(NetworkStore):
    """The text of a store is its whole URL."""

    def __init__(self, url: StoreURL, *, tls: bool = False) -> None:
        super().__init__(url, tls=tls)
        self.where = url.raw.reveal()

    def __str__(self) -> str:
        return self.where


@caught_by("secrets.repr_shows_none")
class LogsItsUrl(ReferenceStore):
    """The opening is logged for those who debug, with the whole URL."""

    def __init__(self, url: StoreURL) -> None:
        super().__init__(url)
        logger.debug("opening %s", url.raw.reveal())


@caught_by("secrets.repr_shows_none")
class TellsItsUrl(ReferenceStore):
    """What operators are told about the server has the whole URL."""

    def about(self) -> Iterable[Fact]:
        return [Fact("server", self.url.raw.reveal())]


class _ResetByHook(PerProcess[Connection]):
    """Notices a fork by the hooks of Python's own."""

    def __call__(self) -> Connection:
        self._pid = os.getpid()
        return super().__call__()


@caught_by("processes.fork_in_c")
class NoticesPythonsForks(NetworkStore):
    """A child makes a connection of its own if a hook of Python's has told of the fork."""

    def __init__(self, url: StoreURL, *, tls: bool = False) -> None:
        self.connection = _ResetByHook(
            lambda: self.connection_type(url, tls=tls), close=Connection.close
        )
