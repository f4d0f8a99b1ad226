"""The requests of a chord's barrier: two for a part, with its result.

A barrier is a control document and one document a part, whose `_id` is its identity, so the first
value stays.  An arrival is one request with three steps in order: the part is recorded; then it is
counted; then the server says whether parts are certainly missing.  A part that comes twice is
counted twice: the count never is too low, and that is enough, because the list of the parts decides
before anybody claims.  Only who finds that the count may be enough reads the control document.

A part's document is named by the run, which who brings it does not know.  Nearly every barrier is
opened once, so its run is taken to be 0; the count is made in that run only, and fails in others.
"""

from collections.abc import Iterator
from typing import Any

from bson import Binary, ObjectId
from pymongo import DeleteMany, DeleteOne, ReturnDocument

from kvbackends.contract import Part, Recent
from kvbackends.contract.stepwise import ABOUT_TTL, NOTHING, Barrier, Control, Listed, Look, Visit
from kvbackends_mongodb.client import Document, Documents, translated, translated_each
from kvbackends_mongodb.control import (
    LIVE,
    QUIET,
    begun,
    changed,
    closed,
    fields_of,
    live_or_begun,
    look_at,
)
from kvbackends_mongodb.entries import ALIVE, expiry


class MongoDBBarrier(Barrier):
    """Documents of one collection."""

    def __init__(
        self, chords: Documents, runs: Recent[int], name: str, ttl: float | None = None
    ) -> None:
        super().__init__(name, ttl)
        self._chords = chords
        self._runs = runs
        """Of barriers that were opened more than once."""
        self._run = runs.get(name) or 0
        self._recorded: Document | None = None
        self._told = False
        self._abouts: dict[ObjectId | None, bytes] = {None: b""}

    @translated
    def open(self, about: bytes) -> None:
        """One request.  A new run has another number, so nothing of an earlier one counts."""
        kept = ObjectId()
        life = None if self.ttl is None else max(self.ttl, ABOUT_TTL)
        document = {"_id": "$_id", "about": Binary(about), "expires": expiry(life)}
        run = [{"$replaceWith": {**begun(self.ttl, 0), "about": kept}}, QUIET]
        self._chords.update(
            {"q": self._about_id(kept), "u": [{"$replaceWith": document}], "upsert": True},
            {"q": self._control_id(), "u": run, "upsert": True},
        )

    @translated
    def tell(self, visit: Visit) -> Look | None:
        """One request while parts are missing; a second one, to look, where they may not be."""
        if visit.size is not None and not self._told:
            self._told = True
            return self._changed(
                live_or_begun(self.ttl), changed(self.ttl, {"size": {"$literal": visit.size}})
            )
        if visit.value is None:
            return self.look()
        mine = self._part_id(visit.part)
        if self._recorded != mine:
            self._recorded = mine
            if self._record(visit.value):
                return NOTHING
        look = self.look()
        if look.version is None:
            self._recorded = None  # it has expired since: begin again
        elif not look.control.done and look.control.run != str(self._run):
            self._run = int(look.control.run)
            self._runs.put(self.name, self._run)
        else:
            return look
        return None

    @translated
    def look(self) -> Look:
        """One request."""
        found = self._chords.first({**self._control_id(), "$expr": LIVE})
        return NOTHING if found is None else look_at(found)

    @translated
    def swap(self, look: Look, control: Control) -> bool:
        """One request; where nothing is, a run is begun first."""
        if look.version is None:
            self._changed(live_or_begun(self.ttl))
            return False
        return self._set(look, fields_of(control))

    @translated
    def listed(self, look: Look) -> list[Listed]:
        """One request, which also finds what the publisher kept.

        Who was counted when the control document was read is on the list, or has expired: where
        too few are, the count is put right.
        """
        kept = look.version.about
        ours = [{"_id": self._of_run(look)}, *([] if kept is None else [self._about_id(kept)])]
        found = self._chords.collection.find({"$or": ours}, {"about": 1}, batch_size=100_000)
        listed = []
        for each in found:
            if "about" in each:
                self._abouts[kept] = each["about"]
            else:
                listed.append((each["_id"]["p"], each["_id"]["m"]))
        if look.arrived > len(listed) and look.control.chosen(listed) is None:
            self._set(look, {"counted": len(listed)})
        return listed

    @translated
    def about(self, look: Look) -> bytes:
        """One request, where the parts were not listed."""
        kept = look.version.about
        if kept not in self._abouts:
            found = self._chords.first(self._about_id(kept))
            self._abouts[kept] = found["about"] if found else b""
        return self._abouts[kept]

    @translated_each
    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """Two requests, and more for each 1,000 parts or 16 MB."""
        look = self.look()
        if not look.open:
            return
        wanted = {"_id": self._of_run(look), "$expr": ALIVE}
        found = self._chords.collection.find(wanted, {"value": 1}).batch_size(1000)
        values = {(each["_id"]["p"], each["_id"]["m"]): each["value"] for each in found}
        for each in self.fixed(look, values):
            yield *each, values[each]

    @translated
    def forget(self) -> None:
        """One request."""
        if self._recorded is not None:
            self._chords.collection.delete_one({"_id": self._recorded})

    @translated
    def end(self) -> Look | None:
        """One request."""
        look = self._changed(*closed(self.ttl))
        return look if look.control.done else None

    @translated
    def discard(self, look: Look) -> None:
        """One request, for what this run and those before it have left."""
        earlier = {"$gt": {"b": self.name}, "$lt": {"b": self.name, "r": int(look.control.run) + 1}}
        removed: list[Any] = [DeleteMany({"_id": earlier})]
        if look.version.about is not None:
            removed.append(DeleteOne(self._about_id(look.version.about)))
        self._chords.collection.bulk_write(removed)

    def _record(self, value: bytes) -> bool:
        """Record and count a part; True if parts are certainly missing."""
        run, ttl, barrier = self._run, self.ttl, self._control_id()
        document = {"_id": "$_id", "value": Binary(value), "expires": expiry(ttl)}
        record = [{"$replaceWith": {"$cond": [ALIVE, "$$ROOT", document]}}]
        counted = {"$cond": [{"$eq": ["$run", run]}, {"$add": ["$counted", 1]}, "$counted"]}
        count = [live_or_begun(ttl, run), changed(ttl, {"counted": counted}), QUIET]
        found, _ = self._chords.update(
            {"q": {"_id": self._recorded}, "u": record, "upsert": True},
            {"q": barrier, "u": count, "upsert": True},
            {"q": {**barrier, "quiet": run}, "u": {"$set": {"quiet": run}}},  # changes nothing
        )
        return found == 3

    def _changed(self, *pipeline: Document) -> Look:
        after: Any = self._chords.collection.find_one_and_update(
            self._control_id(),
            [*pipeline, QUIET],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return look_at(after)

    def _set(self, look: Look, fields: Document) -> bool:
        """Change these fields of what was looked at; False if it has changed meanwhile."""
        literal = {name: {"$literal": value} for name, value in fields.items()}
        same = {**self._control_id(), "version": look.version.id, "$expr": LIVE}
        return self._chords.update({"q": same, "u": [changed(self.ttl, literal), QUIET]})[0] > 0

    # Documents as `_id` are compared field by field, in this order: a run's parts lie together.

    def _control_id(self) -> Document:
        return {"_id": {"b": self.name}}

    def _about_id(self, kept: ObjectId) -> Document:
        return {"_id": {"b": self.name, "a": kept}}

    def _part_id(self, part: Part) -> Document:
        return {"b": self.name, "r": self._run, "p": part.place, "m": part.member}

    def _of_run(self, look: Look) -> Document:
        run = int(look.control.run)
        return {"$gt": {"b": self.name, "r": run}, "$lt": {"b": self.name, "r": run + 1}}
