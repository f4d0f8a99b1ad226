"""The control document of a barrier: its size, its count and its claim, as server expressions."""

from typing import Any, NamedTuple

from bson import ObjectId

from kvbackends.contract import Claim, Control, Snapshot
from kvbackends_mongodb.client import Document
from kvbackends_mongodb.entries import expiry

LIVE = {"$gt": ["$until", "$$NOW"]}
"""True before `until`.  The server removes the document later, at `expires`: it is kept as long as
any part may be, so that the number of a run is not used again."""
LIVING = {"$expr": LIVE}
"""The condition of a request that finds a live control document only."""

CLAIMED_BY = f"claim.{Claim._fields.index('delivery')}"
"""The path of the claim's delivery."""

_UNKNOWN_SIZE = 1 << 53
"""A size that no chord reaches; stands for a size that is not set yet."""

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
                                {
                                    "$add": [
                                        {"$ifNull": ["$size", _UNKNOWN_SIZE]},
                                        {"$size": "$slots"},
                                    ]
                                },
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
    """The version of a snapshot, and the id of the payload's document."""

    id: ObjectId
    payload: ObjectId | None


def snapshot_of(document: Document) -> Snapshot:
    """The snapshot that a control document stands for."""
    claim = document.get("claim")
    control = Control(
        run=str(document["run"]),
        size=document.get("size"),
        extra=dict(document["slots"]),
        strays=document["strays"],
        claim=None if claim is None else Claim(*claim),
        done=document["done"],
    )
    version = Version(document["version"], document.get("payload"))
    return Snapshot(control, version, document["counted"])


def fields_of(control: Control) -> Document:
    """The fields that an added slot or a claim changes."""
    claim = {} if control.claim is None else {"claim": [*control.claim]}
    return {"slots": [*control.extra.items()], "strays": control.strays, **claim}


def begun(ttl: float | None) -> Document:
    """An expression: the document of a new run."""
    return {
        "_id": "$_id",
        "run": {"$ifNull": [{"$add": ["$run", 1]}, 0]},
        "counted": {"$literal": 0},
        "slots": [],
        "strays": [],
        "done": {"$literal": False},
        "version": ObjectId(),
        "until": expiry(ttl),
        "expires": {"$max": ["$expires", expiry(ttl)]},
    }


def changed(ttl: float | None, fields: Document) -> Document:
    """A stage that sets these fields and renews the document.

    A closed barrier is kept longer, and not changed: the late part may outlive it.
    """
    renewed = {name: {"$max": [f"${name}", expiry(ttl)]} for name in ("until", "expires")}
    change: Any = {**fields, **renewed, "version": ObjectId()}
    stays = {"expires": renewed["expires"]}
    return {"$replaceWith": {"$mergeObjects": ["$$ROOT", {"$cond": ["$done", stays, change]}]}}


def closed(ttl: float | None) -> list[Document]:
    """The pipeline that writes the tombstone, unless the run has not been claimed."""
    later = {"$and": [LIVE, {"$not": ["$done"]}, {"$eq": [{"$type": "$claim"}, "missing"]}]}
    tombstone = {
        **begun(ttl),
        "run": {"$ifNull": ["$run", 0]},
        "payload": "$payload",
        "done": {"$literal": True},
    }
    return [{"$replaceWith": {"$cond": [later, "$$ROOT", tombstone]}}, QUIET]
