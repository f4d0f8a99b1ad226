"""The requests for plain and ranked keys.  Each key is one document.

A document is ``{_id: key, value, version, expires}``; an offered one also has ``rank`` and
``facets``.  A value that is text in UTF-8 is stored as text, so that it can be read in MongoDB's
tools; both forms give the same bytes back.  Every write sets a new ``version``.  Expiry is decided
by the server's clock.

A conditional write is an upsert with a pipeline, which either replaces the stored document or
keeps it (`$$ROOT`); if it keeps it, the server reports no modification.  An upsert with a filter
would raise a duplicate key error instead, both when the filter does not match and when two upserts
insert at the same time, and the caller could not tell which.
"""

import datetime as dt
import math
from collections.abc import Collection, Hashable, Iterator, Mapping
from itertools import takewhile
from typing import Any

from bson import Binary, ObjectId
from pymongo import ReturnDocument

from kvbackends import StoreError
from kvbackends.contract import Entry, Offer, Rank, RankOf
from kvbackends_mongodb.client import Document, Documents

NEVER = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)
ALIVE = {"$gt": ["$expires", "$$NOW"]}
"""False for an absent document, because a missing field is less than every date."""

DIGITS = 18
"""The server adds numbers of at most so many characters: their sums fit into 64 bits."""

_RANKS = [*map(int, Rank)]
"""A document of another program may have anything in the field of the rank."""
_REPLACES = {rank: [other for other in Rank if other.yields_to(rank)] for rank in Rank}


def expiry(ttl: float | None) -> Any:
    """An expression for the time of expiry, in whole milliseconds, rounded up."""
    return NEVER if ttl is None else {"$add": ["$$NOW", math.ceil(ttl * 1000)]}


def get(documents: Documents, key: str) -> Entry | None:
    """The value and its version, or None."""
    found = _alive(documents, key, {"value": 1, "version": 1})
    return None if found is None else Entry(_value(found), found.get("version"))


def get_batch(documents: Documents, keys: Collection[str]) -> dict[str, bytes]:
    """The values of those keys that exist.  Cost: one request for each 16 MB of the answer."""
    found = documents.collection.find(
        {"_id": {"$in": list(keys)}, "$expr": ALIVE}, {"value": 1}, batch_size=len(keys) + 1
    )
    return {each["_id"]: _value(each) for each in found}


def put(documents: Documents, key: str, value: bytes, ttl: float | None) -> None:
    """Store unconditionally."""
    documents.update({"q": {"_id": key}, "u": [{"$replaceWith": _new(value, ttl)}], "upsert": True})


def create(documents: Documents, key: str, value: bytes, ttl: float | None) -> bool:
    """Store if the key is absent; true if stored."""
    return _stored(documents, key, ALIVE, _new(value, ttl))


def replace(
    documents: Documents, key: str, value: bytes | str, version: Hashable, ttl: float | None
) -> bool:
    """Store if the stored version is `version`; true if stored."""
    same = {"_id": key, "version": version, "$expr": ALIVE}
    return documents.update({"q": same, "u": [{"$replaceWith": _new(value, ttl)}]})[0] > 0


def offer(documents: Documents, offer: Offer, rank_of: RankOf) -> bool:
    """The ranked write; true if stored.  Cost: one request, and another one to see why not."""
    new = _new(offer.value, offer.ttl) | {"rank": int(offer.rank)}
    if offer.facets:
        new["facets"] = {"$literal": dict(offer.facets)}
    yields = {"$in": ["$rank", [int(rank) for rank in _REPLACES[offer.rank]]]}
    better = {"$and": [ALIVE, {"$not": [yields]}]}
    while not _stored(documents, offer.key, better, new):
        found = _alive(documents, offer.key, _fields(offer))
        if found is None:
            continue  # the better one has expired, or was deleted, since the attempt
        if found.get("rank") not in _RANKS or isinstance(found["rank"], bool):
            return _offer_over_plain(documents, offer, rank_of, new)
        if "value" in found and _bytes(found["value"]) == offer.value:
            return True  # stored by an earlier attempt of this offer
        if not Rank(found["rank"]).yields_to(offer.rank):
            return False
    return True


def delete(documents: Documents, keys: Collection[str]) -> None:
    """Remove the keys; absent ones are fine."""
    documents.collection.delete_many({"_id": {"$in": list(keys)}})


def touch(documents: Documents, key: str, ttl: float | None) -> bool:
    """Set a new time to live; false if the key is absent."""
    there = {"_id": key, "$expr": ALIVE}
    return documents.update({"q": there, "u": [{"$set": {"expires": expiry(ttl)}}]})[0] > 0


def increment(documents: Documents, key: str, by: int, ttl: float | None) -> int:
    """Add to the number; returns the sum.  Cost: one request if both have at most 18 characters.

    A sum is stored as text, because a pipeline cannot convert bytes to a number.  `get` returns it
    as bytes.
    """
    by = int(by)  # str() of a bool is not a number
    if len(str(by)) > DIGITS:
        return _increment_by_comparing(documents, key, by, ttl)
    number = {"$convert": {"input": "$value", "to": "long", "onError": None}}
    short = {"$cond": [{"$lte": [{"$strLenCP": "$value"}, DIGITS]}, {"$ne": [number, None]}, False]}
    countable = {"$cond": [{"$eq": [{"$type": "$value"}, "string"]}, short, False]}
    total = {"$toString": {"$add": [{"$toLong": "$value"}, by]}}
    new = _new({"$cond": [ALIVE, total, str(by)]}, ttl)
    kept = {"$and": [ALIVE, {"$not": [countable]}]}
    after: Any = documents.collection.find_one_and_update(
        {"_id": key},
        [{"$replaceWith": {"$cond": [kept, "$$ROOT", new]}}],
        {"value": 1, "version": 1},
        upsert=True,
        return_document=ReturnDocument.AFTER,
    )
    if after["version"] == new["version"]:
        return int(after["value"])
    return _increment_by_comparing(documents, key, by, ttl)


def scan(documents: Documents, prefix: str) -> Iterator[str]:
    """The keys with this prefix, in order, read from the index on ``_id``."""
    found = documents.collection.find({"_id": {"$gte": prefix}, "$expr": ALIVE}, {"_id": 1}).sort(
        "_id"
    )
    with found:
        yield from takewhile(lambda key: key.startswith(prefix), (each["_id"] for each in found))


def lifetimes(documents: Documents, keys: Collection[str]) -> dict[str, float | None]:
    """The seconds that those keys that exist have left; None: for ever."""
    wanted = {"_id": {"$in": list(keys)}, "$expr": ALIVE}
    left = {"$subtract": ["$expires", "$$NOW"]}
    fields = {"left": {"$cond": [{"$eq": ["$expires", NEVER]}, None, left]}}
    found = documents.collection.find(wanted, fields, batch_size=len(keys) + 1)
    return {each["_id"]: each["left"] and each["left"] / 1000 for each in found}


def find(documents: Documents, facets: Mapping[str, str]) -> Iterator[str]:
    """The keys with these facets, read from the wildcard index on ``facets``."""
    wanted = {f"facets.{name}": {"$eq": value} for name, value in facets.items()}
    with documents.collection.find({**wanted, "$expr": ALIVE}, {"_id": 1}) as found:
        for each in found:
            yield each["_id"]


def _new(value: Any, ttl: float | None) -> Document:
    """An expression for a new document."""
    if isinstance(value, bytes | str):
        value = {"$literal": _readable(value)}
    return {"_id": "$_id", "value": value, "version": ObjectId(), "expires": expiry(ttl)}


def _stored(documents: Documents, key: str, kept: Document, new: Document) -> bool:
    """Store `new` unless the expression `kept` is true of the stored document; true if stored."""
    pipeline = [{"$replaceWith": {"$cond": [kept, "$$ROOT", new]}}]
    return documents.update({"q": {"_id": key}, "u": pipeline, "upsert": True})[1] > 0


def _alive(documents: Documents, key: str, fields: Document) -> Document | None:
    # In the projection rather than the filter: the server has a fast path for `_id` alone.
    found = documents.first({"_id": key}, {**fields, "alive": ALIVE})
    return found if found and found["alive"] else None


def _fields(offer: Offer) -> Document:
    """The fields that show why an offer was refused; the value only if it is needed."""
    fields = {"rank": 1, "version": 1}
    return {**fields, "value": 1} if offer.rank is Rank.SUCCEEDED else fields


def _offer_over_plain(documents: Documents, offer: Offer, rank_of: RankOf, new: Document) -> bool:
    """The ranked write over a value that `set` has stored: only `rank_of` knows its rank."""
    while True:
        old = get(documents, offer.key)
        if old is not None and old.value == offer.value:
            return True
        if old is not None and not rank_of(old.value).yields_to(offer.rank):
            return False
        if _stored(documents, offer.key, _changed(old), new):
            return True


def _changed(old: Entry | None) -> Document:
    """An expression: the key exists, and not with the version that was read."""
    stored = {"$ifNull": ["$version", None]}  # another program's document may have none
    return {"$and": [ALIVE, {"$ne": [stored, None if old is None else old.version]}]}


def _increment_by_comparing(documents: Documents, key: str, by: int, ttl: float | None) -> int:
    """`increment` for numbers of any length, and for numbers that were stored as bytes."""
    while True:
        old = get(documents, key)
        total = (int(old.value) if old else 0) + by
        if _stored(documents, key, _changed(old), _new(str(total), ttl)):
            return total


def _readable(value: bytes | str) -> Binary | str:
    """Text if the bytes are text; `_bytes` gives them back."""
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return Binary(value)


def _value(document: Document) -> bytes:
    """The document's value; raises `StoreError` if another program has written none."""
    value = document.get("value")
    if not isinstance(value, bytes | str):
        raise StoreError(
            f"the document {document['_id']!r} was written by another program: its value is of "
            f"type {type(value).__name__}, not text or binary"
        )
    return _bytes(value)


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value
