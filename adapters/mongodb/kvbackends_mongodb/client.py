"""The driver's client of one process, and what its errors mean."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

import pymongo
from pymongo import ASCENDING, IndexModel, MongoClient
from pymongo.collection import Collection
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
    WriteError,
)
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference

from kvbackends_mongodb.options import Target

P = ParamSpec("P")
T = TypeVar("T")

Document = dict[str, Any]

_log = logging.getLogger(__name__)

_UNAUTHORIZED, _AUTHENTICATION_FAILED, _DUPLICATE_KEY = 13, 18, 11000

_NETWORK = (6, 7, 89, 9001)
_PRIMARY = (91, 133, 134, 150, 189, 234, 10107, 11600, 11602, 13388, 13435, 13436)
_BUSY = (24, 46, 50, 64, 112, 251, 262, _DUPLICATE_KEY)
_AGAIN = frozenset(_NETWORK + _PRIMARY + _BUSY)
"""Codes after which the same request may succeed (MongoDB's `error_codes.yml`): the network; a
change of the primary; locks, deadlines, conflicts, and two upserts that inserted at once."""

CLOSING = 0.5
"""Seconds that closing takes at most where the server does not answer."""

_LABELS = ("RetryableWriteError", "TransientTransactionError")


class Unavailable(Exception):
    """MongoDB did not answer, or says that it may do later what it was asked to."""


def translated(method: Callable[P, T]) -> Callable[P, T]:
    """`method`, raising `Unavailable` for those errors of the driver that may pass."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except PyMongoError as error:
            if may_pass(error):
                raise Unavailable(str(error)) from error
            raise

    return call


def translated_each(method: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
    """The same for what is read while it is iterated."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        try:
            yield from method(*args, **kwargs)
        except PyMongoError as error:
            if may_pass(error):
                raise Unavailable(str(error)) from error
            raise

    return call


def may_pass(error: PyMongoError) -> bool:
    """True if the same request may succeed later; whether it was carried out is unknown."""
    # InvalidOperation: another thread has closed the client in the middle of a call.
    if isinstance(error, (ConnectionFailure, InvalidOperation)) or error.timeout:
        return True
    if any(error.has_error_label(label) for label in _LABELS):
        return True
    return isinstance(error, OperationFailure) and any(code in _AGAIN for code in _codes(error))


def _codes(error: OperationFailure) -> list[int | None]:
    """Those of the single statements, too."""
    if not isinstance(error, BulkWriteError):
        return [error.code]
    details: Mapping[str, Any] = error.details
    failed = details.get("writeErrors", []) or details.get("writeConcernErrors", [])
    return [each.get("code") for each in failed]


class Documents:
    """One collection.

    What is done for every result goes to the server as a command: the driver's own methods for it
    take 30 % more time in Python.  They would also send it again after a lost answer; the retry
    layer does that, and each of these requests may be repeated.  Where one may not, and where an
    answer may be long, `collection` is used.
    """

    def __init__(self, collection: Collection[Document]) -> None:
        self.collection = collection
        self._name = collection.name
        self._command = collection.database.command
        self._concern = collection.write_concern.document

    def first(self, wanted: Document, fields: Document | None = None) -> Document | None:
        """The first document that is `wanted`."""
        answer = self._command(
            {
                "find": self._name,
                "filter": wanted,
                "projection": fields or {},
                "limit": 1,
                "singleBatch": True,
            }
        )
        found: list[Document] = answer["cursor"]["firstBatch"]
        return found[0] if found else None

    def update(self, *statements: Document) -> tuple[int, int]:
        """Each in its turn; how many documents were found or inserted, and how many changed."""
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

    Made on first use, which is also when the indexes are made, if they are not there.
    """

    def __init__(self, target: Target) -> None:
        self._client: MongoClient[Document] = MongoClient(
            target.uri.reveal(), connect=False, **target.arguments
        )
        database = self._client.get_database(
            target.database,
            read_preference=ReadPreference.PRIMARY,
            write_concern=target.concern,
            read_concern=ReadConcern("local"),
        )
        self.entries = Documents(database[target.collection])
        self.chords = Documents(database[f"{target.collection}_chords"])

    @classmethod
    def opened(cls, target: Target) -> "Client":
        """Connected, with its indexes.

        MongoDB looks for a user in the URL's database, Celery's own backend always in `admin`: so
        that a URL which works there works here, that is tried next.
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
        """Ask the primary."""
        self.entries.collection.database.command("ping", read_preference=ReadPreference.PRIMARY)

    def close(self) -> None:
        """Close the connections and end the driver's threads."""
        with pymongo.timeout(CLOSING):  # it tells the server which sessions end, if that answers
            self._client.close()

    def _make_indexes(self) -> None:
        """Made by many processes at once they are made once."""
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
                "this user may not make the indexes of %s: expired results stay until somebody "
                "who may has connected once",
                self.entries.collection.full_name,
            )
