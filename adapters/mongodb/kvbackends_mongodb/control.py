"""The control document of a barrier: what is expected, counted and claimed."""

from collections.abc import Iterable, Sized
from typing import Any, NamedTuple, Self

from bson import ObjectId

from kvbackends import Part
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


class Owner(NamedTuple):
    """Who holds the claim: one delivery of one part."""

    place: int
    member: str
    delivery: str


class Control(NamedTuple):
    """What was read of it."""

    version: ObjectId
    run: int
    size: int | None
    counted: int
    slots: list[tuple[str, list[str]]]
    """Parts added while the chord runs: the slot, and the ids, any one of which fills it."""
    strays: list[str]
    """Parts added after the claim: they count for nothing."""
    owner: Owner | None
    done: bool
    about: ObjectId | None
    quiet: bool
    """True if parts are certainly missing."""

    @classmethod
    def of(cls, document: Document) -> Self:
        """From the stored fields."""
        owner = document.get("owner")
        return cls(
            version=document["version"],
            run=document["run"],
            size=document.get("size"),
            counted=document["counted"],
            slots=[(slot, ids) for slot, ids in document["slots"]],
            strays=document["strays"],
            owner=None if owner is None else Owner(*owner),
            done=document["done"],
            about=document.get("about"),
            quiet=document["quiet"] == document["run"],
        )

    def added(self, slot: str, member: str) -> Document | None:
        """The fields that change with one part more; None if it is known, or comes too late."""
        ids = dict(self.slots).get(slot, [])
        if self.done or member in ids or member in self.strays:
            return None
        if self.owner:
            return {"strays": [*self.strays, member]}
        return {"slots": [*({**dict(self.slots), slot: [*ids, member]}).items()]}

    def claimed(self, part: Part, chosen: Iterable[tuple[int, str]]) -> Document:
        """The fields that change with a claim.

        What was chosen comes first in its slot, so that whoever claims after it chooses the same.
        """
        names = {member for _, member in chosen}
        slots = [(slot, sorted(ids, key=lambda i: i not in names)) for slot, ids in self.slots]
        return {"owner": [part.place, part.member, part.delivery], "slots": slots}

    def surpasses(self, chosen: Sized) -> bool:
        """True if more was chosen than a claim chooses: strays that came after this was read."""
        return len(chosen) > (self.size or 0) + len(self.slots)

    def chosen(self, listed: Iterable[tuple[int, str]]) -> list[tuple[int, str]] | None:
        """The parts that make the barrier complete, one for each slot; None if it is not."""
        parts = list(listed)
        added = {member for _, ids in self.slots for member in ids}.union(self.strays)
        header = [each for each in parts if each[1] not in added]
        arrived = {member: (place, member) for place, member in parts}
        filled = [
            first
            for _, ids in self.slots
            if (first := next((arrived[i] for i in ids if i in arrived), None))
        ]
        if self.size is None or len(header) < self.size or len(filled) < len(self.slots):
            return None
        return header + filled


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
    """A stage that sets these fields and renews the document, unless the barrier is closed."""
    renewed = {name: {"$max": [f"${name}", expiry(ttl)]} for name in ("until", "expires")}
    change: Any = {**fields, **renewed, "version": ObjectId()}
    return {"$replaceWith": {"$cond": ["$done", "$$ROOT", {"$mergeObjects": ["$$ROOT", change]}]}}


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
