"""The driver's client, and which of its errors are transient."""

import dataclasses
import functools
import itertools
import logging
import re
import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Concatenate, ParamSpec, TypeVar

import pymongo
from bson.errors import BSONError
from pymongo import ASCENDING, IndexModel
from pymongo.collection import Collection
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    InvalidOperation,
    OperationFailure,
    ProtocolError,
    PyMongoError,
    WriteConcernError,
    WriteError,
)
from pymongo.errors import ConfigurationError as DriverConfigurationError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from kvbackends import ConfigurationError, KVBackendsError, StoreError
from kvbackends.contract import deadline, seconds_left, uninterrupted
from kvbackends_mongodb.options import Target

P = ParamSpec("P")
T = TypeVar("T")

Document = dict[str, Any]

_log = logging.getLogger(__name__)

_UNAUTHORIZED, _AUTHENTICATION_FAILED, _DUPLICATE_KEY = 13, 18, 11000

_NETWORK = (6, 7, 89, 9001)
_PRIMARY = (91, 133, 134, 150, 189, 234, 10107, 11600, 11602, 13388, 13435, 13436)
_BUSY = (24, 46, 50, 64, 112, 251, 262, _DUPLICATE_KEY)
_TRANSIENT = frozenset(_NETWORK + _PRIMARY + _BUSY)
"""Error codes after which the same request may succeed (MongoDB's `error_codes.yml`): network
errors; a change of the primary; locks, deadlines, conflicts, and simultaneous upserts of one key.
"""

CLOSING = 0.5
"""Most seconds that closing takes if the server does not answer."""

_REPLY = ", full error:"
"""What stands before the server's reply in the driver's messages."""
_FAILURES = re.compile(r"error=\w+\((.*?)\)>")
"""Finds what the driver says of each server that it could not reach."""
_NO_NAME = f"[Errno {int(socket.EAI_NONAME)}]"

PAGE = 100
"""Items that an iterator of answers prepares at a time."""

_LABELS = ("RetryableWriteError", "TransientTransactionError")


_DNS_ANSWERS = {"NXDOMAIN", "NoAnswer"}
"""Exceptions of dnspython for an answer that there is no such name; others are for no answer."""

_HINTS = {
    _UNAUTHORIZED: "; grant the user readWrite on the database",
    _AUTHENTICATION_FAILED: "; check the user, the password and authSource",
}


class Unavailable(StoreError):
    """A transient error: the same request may succeed later; the outcome of a write is unknown."""


class Refused(StoreError):
    """The driver or the server refuses the request, or its answer is wrong; not retried."""


def translated(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """`method`, uninterrupted, with the driver's errors raised as `Unavailable` and `Refused`.

    It ends at the deadline, of which the driver is told only if `self.patience`, its own timeout in
    seconds, is longer.
    """

    @uninterrupted
    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            if deadline.get() - time.monotonic() < self.patience:
                with pymongo.timeout(seconds_left()):
                    return method(self, *args, **kwargs)
            return method(self, *args, **kwargs)
        except (PyMongoError, BSONError) as error:
            # A traceback would show the cause, and so the server's whole reply.
            raise _translated(error) from (None if _REPLY in str(error) else _cause(error))

    return call


def translated_each(
    method: Callable[Concatenate[Any, P], Iterator[T]],
) -> Callable[Concatenate[Any, P], Iterator[T]]:
    """`translated` for an iterator, which sends requests while it is iterated."""
    begun = translated(method)  # it may connect

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        each = begun(self, *args, **kwargs)
        try:
            while page := _page(self, each):
                yield from page
        finally:
            _closed(self, each)

    return call


@translated
def _page(_owner: Any, each: Iterator[T]) -> list[T]:
    return list(itertools.islice(each, PAGE))


@translated
def _closed(_owner: Any, each: Iterator[Any]) -> None:
    if isinstance(each, Generator):
        each.close()


def _cause(error: Exception) -> Exception:
    """The error of the connection, of which the driver keeps the text only."""
    failures = _FAILURES.findall(str(error))
    if failures and all(_NO_NAME in each for each in failures):
        return socket.gaierror(socket.EAI_NONAME, failures[0])
    if failures and all("CERTIFICATE_VERIFY_FAILED" in each for each in failures):
        return ssl.SSLCertVerificationError(1, failures[0])
    return error


def _translated(error: PyMongoError | BSONError) -> KVBackendsError:
    words = str(error).partition(_REPLY)[0]
    if isinstance(error, BSONError):  # an answer of another program, or a document too large
        return Refused(f"MongoDB: {type(error).__name__}: {words}")
    if _is_transient(error):
        return Unavailable(f"MongoDB: {words}")
    if isinstance(error, DriverConfigurationError):
        return ConfigurationError(f"the MongoDB driver: {words}")
    if isinstance(error, OperationFailure):
        hints = [_HINTS[code] for code in _codes(error) if code in _HINTS]
        return Refused(f"MongoDB: {words} (code {error.code}){''.join(hints[:1])}")
    return Refused(f"MongoDB: {words}")


def _is_transient(error: PyMongoError) -> bool:
    if isinstance(error, DriverConfigurationError):  # also raised for mongodb+srv:// without DNS
        cause = type(error.__cause__)
        return cause.__module__.startswith("dns.") and cause.__name__ not in _DNS_ANSWERS
    # InvalidOperation: another thread has closed the client during the call.
    # ProtocolError: an answer that is not MongoDB's; the driver has closed the connection.
    lost = (ConnectionFailure, InvalidOperation, ProtocolError)
    if isinstance(error, lost) or error.timeout:
        return True
    if any(error.has_error_label(label) for label in _LABELS):
        return True
    return isinstance(error, OperationFailure) and any(code in _TRANSIENT for code in _codes(error))


def _codes(error: OperationFailure) -> list[int | None]:
    """The error's code; for a bulk write, those of its statements."""
    if not isinstance(error, BulkWriteError):
        return [error.code]
    details: Mapping[str, Any] = error.details
    failed = details.get("writeErrors", []) or details.get("writeConcernErrors", [])
    return [each.get("code") for each in failed]


class Documents:
    """One collection.

    `first` and `update` send plain commands, because the driver's own methods take 30 % more time
    in Python.  The driver does not retry a plain command after a lost answer; the retry layer does,
    and each request made with them may be repeated.  For other requests, and for long answers,
    use the driver's `collection`.
    """

    def __init__(self, collection: Collection[Document]) -> None:
        self.collection = collection
        self._name = collection.name
        self._command = collection.database.command
        self._concern = collection.write_concern.document
        self._reading = collection.read_concern.document

    def first(self, wanted: Document, fields: Document | None = None) -> Document | None:
        """The first document that matches the filter `wanted`, or None."""
        answer = self._command(
            {
                "find": self._name,
                "filter": wanted,
                "projection": fields or {},
                "limit": 1,
                "singleBatch": True,
                "readConcern": self._reading,
            }
        )
        found: list[Document] = answer["cursor"]["firstBatch"]
        return found[0] if found else None

    def update(self, *statements: Document) -> tuple[int, int]:
        """Run update statements in order; stops at the first one that fails.

        Returns how many documents matched or were inserted, and how many changed.
        """
        answer = self._command(
            {"update": self._name, "updates": statements, "writeConcern": self._concern}
        )
        for failed in answer.get("writeErrors", ()):
            raise WriteError(failed["errmsg"], failed["code"], failed)
        if failed := answer.get("writeConcernError"):
            raise WriteConcernError(failed["errmsg"], failed["code"], failed)
        return answer["n"], answer["nModified"] + len(answer.get("upserted", ()))


class Client:
    """One process's connections, and the two collections.

    Results are read with the concern of the `Target`, by default ``majority``: what a wait returns
    is never rolled back.  Chords are read as the primary has them: what a delivery does then is
    confirmed by a majority, and with it all that the primary had before.
    """

    def __init__(self, target: Target) -> None:
        self._client = target.client()
        database = self._client.get_database(
            target.database,
            read_preference=ReadPreference.PRIMARY,
            write_concern=target.concern,
            read_concern=ReadConcern("local"),
        )
        entries = database[target.collection].with_options(read_concern=target.reading)
        self.entries = Documents(entries)
        self.chords = Documents(database[f"{target.collection}_chords"])

    @classmethod
    def opened(cls, target: Target) -> "Client":
        """A connected client; creates the indexes that are missing.

        MongoDB authenticates against the URL's database, Celery's own backend always against
        ``admin``.  If the first fails, the second is tried, so that Celery's URLs work unchanged.
        """
        try:
            return cls._indexed(target)
        except OperationFailure as error:
            if error.code != _AUTHENTICATION_FAILED or not target.falls_back:
                raise
        arguments = {**target.arguments, "authSource": "admin"}
        return cls._indexed(dataclasses.replace(target, arguments=arguments))

    @classmethod
    def _indexed(cls, target: Target) -> "Client":
        client = cls(target)
        try:
            client._make_indexes()
        except BaseException:
            client.close()
            raise
        return client

    def ping(self) -> None:
        """Raise if the primary does not answer."""
        self.entries.collection.database.command("ping", read_preference=ReadPreference.PRIMARY)

    @uninterrupted
    def close(self) -> None:
        """Close the connections and end the driver's threads."""
        with pymongo.timeout(CLOSING):  # the driver sends the server a list of ended sessions
            self._client.close()

    def _make_indexes(self) -> None:
        """Create the missing indexes; processes that do this at the same time create each once."""
        expiry = IndexModel([("expires", ASCENDING)], expireAfterSeconds=0)
        try:
            self.entries.collection.create_indexes(
                [expiry, IndexModel([("facets.$**", ASCENDING)])]
            )
            self.chords.collection.create_indexes([expiry])
        except OperationFailure as error:
            if error.code != _UNAUTHORIZED:
                raise
            _log.warning(
                "this user may not create the indexes of %s; without them expired results are not "
                "removed. Connect once with a user who may create indexes",
                self.entries.collection.full_name,
            )
