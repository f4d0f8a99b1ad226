"""The control document of a barrier: what is expected, counted and claimed."""

from typing import Any, NamedTuple

from bson import ObjectId

from kvbackends.contract.stepwise import Control, Look, Owner
from kvbackends_mongodb.client import Document
from kvbackends_mongodb.entries import expiry

LIVE = {"$gt": ["$until", "$$NOW"]}
"""Beside `until` there is `expires`, when the server removes the document: it stays as long as any
part may, so that the number of a run does not come again."""

_NOT_TOLD = 1 << 53
"""A size that no chord has."""

QUIET = {
    "$set": {
        "quiet": {
            "$cond": [
                {
                    "$or": [
                        "$done",
                        {
                            "$gte": [
                                "$counted",
                                {"$add": [{"$ifNull": ["$size", _NOT_TOLD]}, {"$size": "$slots"}]},
                            ]
                        },
                    ]
                },
                -1,
                "$run",
            ]
        }
    }
}
"""The last stage of each change: `quiet` is the run while parts are certainly missing, else -1."""


class Version(NamedTuple):
    """What a look compares, and where to find what the publisher kept."""

    id: ObjectId
    about: ObjectId | None


def look_at(document: Document) -> Look:
    """What is stored."""
    owner = document.get("owner")
    control = Control(
        run=str(document["run"]),
        size=document.get("size"),
        extra=dict(document["slots"]),
        strays=document["strays"],
        owner=None if owner is None else Owner(*owner),
        done=document["done"],
    )
    version = Version(document["version"], document.get("about"))
    return Look(control, version, document["counted"])


def fields_of(control: Control) -> Document:
    """The fields that an addition or a claim changes."""
    owner = {} if control.owner is None else {"owner": [*control.owner]}
    return {"slots": [*control.extra.items()], "strays": control.strays, **owner}


def begun(ttl: float | None, first: int) -> Document:
    """An expression: the document of a new run, without anything that an earlier one had.

    `first` is its number where there was none.
    """
    return {
        "_id": "$_id",
        "run": {"$ifNull": [{"$add": ["$run", 1]}, first]},
        "counted": {"$literal": 0},
        "slots": [],
        "strays": [],
        "done": {"$literal": False},
        "version": ObjectId(),
        "until": expiry(ttl),
        "expires": {"$max": ["$expires", expiry(ttl)]},
    }


def live_or_begun(ttl: float | None, first: int = 0) -> Document:
    """The first stage of a change that begins a run where there is none."""
    return {"$replaceWith": {"$cond": [LIVE, "$$ROOT", begun(ttl, first)]}}


def changed(ttl: float | None, fields: Document) -> Document:
    """A stage that sets these fields and renews the document.

    A closed barrier's only stays longer: the part that came late may outlive it.
    """
    renewed = {name: {"$max": [f"${name}", expiry(ttl)]} for name in ("until", "expires")}
    change: Any = {**fields, **renewed, "version": ObjectId()}
    stays = {"expires": renewed["expires"]}
    return {"$replaceWith": {"$mergeObjects": ["$$ROOT", {"$cond": ["$done", stays, change]}]}}


def closed(ttl: float | None) -> list[Document]:
    """The pipeline that writes the tombstone, but not over a run that nobody has claimed."""
    later = {"$and": [LIVE, {"$not": ["$done"]}, {"$eq": [{"$type": "$owner"}, "missing"]}]}
    tombstone = {
        **begun(ttl, 0),
        "run": {"$ifNull": ["$run", 0]},
        "about": "$about",
        "done": {"$literal": True},
    }
    return [{"$replaceWith": {"$cond": [later, "$$ROOT", tombstone]}}, QUIET]
