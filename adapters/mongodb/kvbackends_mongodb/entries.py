"""The requests on plain and ranked keys: one document each, decided by the server's own clock.

A document is ``{_id: key, value, version, expires}``, and ``rank`` and ``facets`` where it was
offered.  ``version`` is new with each write.  Whether a document counts is decided where it is
written, in a pipeline: it is replaced, or kept as it is (`$$ROOT`), and in the second case the
server reports no modification.  A filtered upsert would report a duplicate key instead, both when
the stored document is better and when two upserts inserted at once.
"""

import datetime as dt
import math
from collections.abc import Collection, Hashable, Iterator, Mapping
from itertools import takewhile
from typing import Any

from bson import Binary, ObjectId
from pymongo import ReturnDocument

from kvbackends.contract import Entry, Offer, Rank, RankOf
from kvbackends_mongodb.client import Document, Documents

NEVER = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)
ALIVE = {"$gt": ["$expires", "$$NOW"]}
"""Of a document that is not there this is false: a field that is missing is below every date."""

DIGITS = 18
"""Numbers with so many letters, or less, can be added without leaving 64 bits."""

_REPLACES = {rank: [other for other in Rank if other.yields_to(rank)] for rank in Rank}


def expiry(ttl: float | None) -> Any:
    """An expression for when the server shall forget.  In whole milliseconds, rounded up."""
    return NEVER if ttl is None else {"$add": ["$$NOW", math.ceil(ttl * 1000)]}


def get(documents: Documents, key: str) -> Entry | None:
    """One request."""
    found = _alive(documents, key, {"value": 1, "version": 1})
    return None if found is None else Entry(_bytes(found["value"]), found["version"])


def get_batch(documents: Documents, keys: Collection[str]) -> dict[str, bytes]:
    """One request, and one for each 16 MB of the answer."""
    found = documents.collection.find(
        {"_id": {"$in": list(keys)}, "$expr": ALIVE}, {"value": 1}, batch_size=len(keys) + 1
    )
    return {each["_id"]: _bytes(each["value"]) for each in found}


def put(documents: Documents, key: str, value: bytes, ttl: float | None) -> None:
    """Store unconditionally."""
    documents.update({"q": {"_id": key}, "u": [{"$replaceWith": _new(value, ttl)}], "upsert": True})


def create(documents: Documents, key: str, value: bytes, ttl: float | None) -> bool:
    """Store if the key is absent."""
    return _stored(documents, key, ALIVE, _new(value, ttl))


def replace(
    documents: Documents, key: str, value: bytes | str, version: Hashable, ttl: float | None
) -> bool:
    """Store if this version is there."""
    same = {"_id": key, "version": version, "$expr": ALIVE}
    return documents.update({"q": same, "u": [{"$replaceWith": _new(value, ttl)}]})[0] > 0


def offer(documents: Documents, offer: Offer, rank_of: RankOf) -> bool:
    """The ranked write: one request if it is stored, else a second one that says why not."""
    new = _new(offer.value, offer.ttl) | {"rank": int(offer.rank)}
    if offer.facets:
        new["facets"] = {"$literal": dict(offer.facets)}
    yields = {"$in": ["$rank", [int(rank) for rank in _REPLACES[offer.rank]]]}
    better = {"$and": [ALIVE, {"$not": [yields]}]}
    while not _stored(documents, offer.key, better, new):
        found = _alive(documents, offer.key, _told(offer))
        if found is None:
            continue  # it has expired or was deleted meanwhile
        if "rank" not in found:
            return _offer_over_plain(documents, offer, rank_of, new)
        if found.get("value") == offer.value:
            return True  # the offer itself, stored by an earlier attempt
        if not Rank(found["rank"]).yields_to(offer.rank):
            return False
    return True


def delete(documents: Documents, keys: Collection[str]) -> None:
    """One request."""
    documents.collection.delete_many({"_id": {"$in": list(keys)}})


def touch(documents: Documents, key: str, ttl: float | None) -> bool:
    """One request."""
    there = {"_id": key, "$expr": ALIVE}
    return documents.update({"q": there, "u": [{"$set": {"expires": expiry(ttl)}}]})[0] > 0


def increment(documents: Documents, key: str, by: int, ttl: float | None) -> int:
    """One request where the number is text that fits into 64 bits.

    A number is stored as text, for bytes cannot be read in a pipeline; `get` gives bytes.
    """
    by = int(by)  # the text of a bool is no number
    if len(str(by)) > DIGITS:
        return _increment_slowly(documents, key, by, ttl)
    short = {"$lte": [{"$strLenCP": "$value"}, DIGITS]}
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
    return _increment_slowly(documents, key, by, ttl)


def scan(documents: Documents, prefix: str) -> Iterator[str]:
    """In the order of the keys, from the index; text is compared as UTF-8."""
    found = documents.collection.find({"_id": {"$gte": prefix}, "$expr": ALIVE}, {"_id": 1}).sort(
        "_id"
    )
    with found:
        yield from takewhile(lambda key: key.startswith(prefix), (each["_id"] for each in found))


def find(documents: Documents, facets: Mapping[str, str]) -> Iterator[str]:
    """By the index on the facets, all of them in one."""
    wanted = {f"facets.{name}": {"$eq": value} for name, value in facets.items()}
    with documents.collection.find({**wanted, "$expr": ALIVE}, {"_id": 1}) as found:
        for each in found:
            yield each["_id"]


def _new(value: Any, ttl: float | None) -> Document:
    """An expression for a whole document."""
    if isinstance(value, bytes):
        value = {"$literal": Binary(value)}
    elif isinstance(value, str):
        value = {"$literal": value}
    return {"_id": "$_id", "value": value, "version": ObjectId(), "expires": expiry(ttl)}


def _stored(documents: Documents, key: str, kept: Document, new: Document) -> bool:
    """Store `new` unless the expression `kept` is true of what is there."""
    pipeline = [{"$replaceWith": {"$cond": [kept, "$$ROOT", new]}}]
    return documents.update({"q": {"_id": key}, "u": pipeline, "upsert": True})[1] > 0


def _alive(documents: Documents, key: str, fields: Document) -> Document | None:
    # Asked of what is found, not for finding: by `_id` alone the server has a shorter way.
    found = documents.first({"_id": key}, {**fields, "alive": ALIVE})
    return found if found and found["alive"] else None


def _told(offer: Offer) -> Document:
    """The fields that tell why an offer was refused; a value may be large."""
    fields = {"rank": 1, "version": 1}
    return {**fields, "value": 1} if offer.rank is Rank.SUCCEEDED else fields


def _offer_over_plain(documents: Documents, offer: Offer, rank_of: RankOf, new: Document) -> bool:
    """The ranked write over what `set` has stored: only `rank_of` knows its rank."""
    while True:
        old = get(documents, offer.key)
        if old is not None and old.value == offer.value:
            return True
        if old is not None and not rank_of(old.value).yields_to(offer.rank):
            return False
        if _stored(documents, offer.key, _changed(old), new):
            return True


def _changed(old: Entry | None) -> Document:
    """An expression: the key is there, and not as it was read."""
    return {"$and": [ALIVE, {"$ne": ["$version", None if old is None else old.version]}]}


def _increment_slowly(documents: Documents, key: str, by: int, ttl: float | None) -> int:
    """By comparing: numbers of any length, and those that were stored as bytes."""
    while True:
        old = get(documents, key)
        total = (int(old.value) if old else 0) + by
        if _stored(documents, key, _changed(old), _new(str(total), ttl)):
            return total


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value
