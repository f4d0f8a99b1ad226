"""The requests of a chord's barrier: one for a part, while others are missing.

A barrier is a control document and one document for each part, whose `_id` is its identity, so the
first value stays.  An arrival is one request with three steps in order: the part is recorded; it is
counted; the server says whether parts are certainly missing.  A part that arrives twice is counted
twice: the count is never too low, and that is enough, because the list of the parts decides before
a claim.  Only if the count may be enough is the control document read.

A part's document is named by the run, which the delivery does not know.  Nearly every barrier is
opened once, so its run is assumed to be 0; the count is made in that run only, and fails in others.
"""

from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from bson import Binary, ObjectId
from pymongo import DeleteMany, DeleteOne, ReturnDocument

from kvbackends.contract import (
    INCOMPLETE,
    NO_RECORD,
    Control,
    Listed,
    Part,
    Recent,
    Snapshot,
    StepwiseBarrier,
    Visit,
    payload_ttl,
)
from kvbackends_mongodb.client import Document, Documents, translated, translated_each
from kvbackends_mongodb.control import (
    CLAIMED_BY,
    LIVING,
    QUIET,
    begun,
    changed,
    closed,
    fields_of,
    snapshot_of,
)
from kvbackends_mongodb.entries import ALIVE, expiry

if TYPE_CHECKING:
    from kvbackends_mongodb.store import MongoDBStore


def names(chords: Documents, prefix: str) -> Iterator[str]:
    """The names of open barriers that begin with `prefix`, in order."""
    wanted = {"_id": {"$gte": {"b": prefix}}, "done": False, **LIVING}
    with chords.collection.find(wanted, {"_id": 1}).sort("_id") as found:
        listed = (each["_id"]["b"] for each in found)
        yield from takewhile(lambda name: name.startswith(prefix), listed)


class MongoDBBarrier(StepwiseBarrier):
    """A barrier in the documents of one collection."""

    def __init__(
        self,
        store: "MongoDBStore",
        chords: Callable[[], Documents],
        runs: Recent[int],
        name: str,
        ttl: float | None = None,
    ) -> None:
        super().__init__(store, name, ttl)
        self.patience = store.patience
        self._open_chords = chords
        self._runs = runs
        """The runs of barriers that were opened more than once."""
        self._payloads: dict[ObjectId | None, bytes] = {None: b""}

    @translated
    def open(self, payload: bytes) -> None:
        """Cost: one request.  A new run has a new number, so nothing of an earlier one counts."""
        kept = ObjectId()
        document = {
            "_id": "$_id",
            "payload": Binary(payload),
            "expires": expiry(payload_ttl(self.ttl)),
        }
        run = [{"$replaceWith": {**begun(self.ttl), "payload": kept}}, QUIET]
        self._chords.update(
            {"q": self._payload_id(kept), "u": [{"$replaceWith": document}], "upsert": True},
            {"q": self._control_id(), "u": run, "upsert": True},
        )

    @translated
    def record(self, visit: Visit) -> Snapshot | None:
        """Cost: one request while parts are missing, then two."""
        if visit.size is not None and visit.recorded is None:
            visit.recorded = visit.size
            size = {"size": {"$literal": visit.size}}
            return self._changed(LIVING, changed(self.ttl, size))
        if visit.value is None:
            return self.snapshot()
        run = self._runs.get(self.name) or 0
        mine = self._part_id(visit.part, run)
        if visit.recorded != mine:
            visit.recorded = mine
            if self._record(mine, run, visit.value):
                return INCOMPLETE
        snapshot = self.snapshot()
        if snapshot.open and snapshot.control.run != str(run):
            self._runs.put(self.name, int(snapshot.control.run))
            return None
        return snapshot

    @translated
    def snapshot(self) -> Snapshot:
        """Cost: one request."""
        found = self._chords.first({**self._control_id(), **LIVING})
        return NO_RECORD if found is None else snapshot_of(found)

    @translated
    def swap(self, snapshot: Snapshot, control: Control) -> bool:
        """Cost: one request."""
        return self._set(snapshot, fields_of(control))

    @translated
    def renew(self, part: Part) -> bool:
        """Cost: one request, a write, so that a majority has to confirm it.

        A read, or a write that changes nothing, would succeed on a primary that has been deposed
        and does not know it yet, while another delivery has the claim.
        """
        mine = {**self._control_id(), CLAIMED_BY: part.delivery, "done": False, **LIVING}
        return self._chords.update({"q": mine, "u": {"$set": {"renewed": ObjectId()}}})[0] > 0

    @translated
    def listed(self, snapshot: Snapshot) -> list[Listed]:
        """Cost: one request, which also reads the payload.

        A part that was counted before the snapshot is listed, or has expired: where too few are
        listed, the count is corrected.
        """
        kept = snapshot.version.payload
        ours = [
            {"_id": self._of_run(snapshot)},
            *([] if kept is None else [self._payload_id(kept)]),
        ]
        found = self._chords.collection.find({"$or": ours}, {"payload": 1}, batch_size=100_000)
        listed = []
        for each in found:
            if "payload" in each:
                self._payloads[kept] = each["payload"]
            else:
                listed.append((each["_id"]["p"], each["_id"]["m"]))
        if snapshot.arrived > len(listed) and snapshot.control.chosen(listed) is None:
            self._set(snapshot, {"counted": len(listed)})
        return listed

    @translated
    def payload(self, snapshot: Snapshot) -> bytes:
        """Cost: one request, unless `listed` has read the payload."""
        kept = snapshot.version.payload
        if kept not in self._payloads:
            found = self._chords.first(self._payload_id(kept))
            self._payloads[kept] = found["payload"] if found else b""
        return self._payloads[kept]

    @translated_each
    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """Cost: two requests, and one for each further 1,000 parts or 16 MB."""
        snapshot = self.snapshot()
        if not snapshot.open:
            return
        wanted = {"_id": self._of_run(snapshot), "$expr": ALIVE}
        found = self._chords.collection.find(wanted, {"value": 1}).batch_size(1000)
        values = {(each["_id"]["p"], each["_id"]["m"]): each["value"] for each in found}
        for each in self.chosen(snapshot, values):
            yield *each, values[each]

    @translated
    def forget(self, visit: Visit) -> None:
        """Cost: one request."""
        if visit.value is not None and visit.recorded is not None:
            self._chords.collection.delete_one({"_id": visit.recorded})

    @translated
    def end(self) -> Snapshot | None:
        """Cost: one request."""
        snapshot = self._changed({}, *closed(self.ttl), upsert=True)
        return snapshot if snapshot.control.done else None

    @translated
    def discard(self, snapshot: Snapshot) -> None:
        """Cost: one request, which removes the documents of this run and of earlier ones."""
        earlier = {
            "$gt": {"b": self.name},
            "$lt": {"b": self.name, "r": int(snapshot.control.run) + 1},
        }
        removed: list[Any] = [DeleteMany({"_id": earlier})]
        if snapshot.version.payload is not None:
            removed.append(DeleteOne(self._payload_id(snapshot.version.payload)))
        self._chords.collection.bulk_write(removed)

    def _record(self, part: Document, run: int, value: bytes) -> bool:
        """Record and count a part; true if parts are certainly missing."""
        ttl, barrier = self.ttl, self._control_id()
        document = {"_id": "$_id", "value": Binary(value), "expires": expiry(ttl)}
        record = [{"$replaceWith": {"$cond": [ALIVE, "$$ROOT", document]}}]
        counted = {"$cond": [{"$eq": ["$run", run]}, {"$add": ["$counted", 1]}, "$counted"]}
        count = [changed(ttl, {"counted": counted}), QUIET]
        found, _ = self._chords.update(
            {"q": {"_id": part}, "u": record, "upsert": True},
            {"q": {**barrier, **LIVING}, "u": count},
            {"q": {**barrier, "quiet": run}, "u": {"$set": {"quiet": run}}},  # changes nothing
        )
        return found == 3

    def _changed(self, condition: Document, *pipeline: Document, upsert: bool = False) -> Snapshot:
        after: Any = self._chords.collection.find_one_and_update(
            {**self._control_id(), **condition},
            [*pipeline, QUIET],
            upsert=upsert,
            return_document=ReturnDocument.AFTER,
        )
        return NO_RECORD if after is None else snapshot_of(after)

    def _set(self, snapshot: Snapshot, fields: Document) -> bool:
        """Change these fields; False if the document has changed since the snapshot."""
        literal = {name: {"$literal": value} for name, value in fields.items()}
        same = {**self._control_id(), "version": snapshot.version.id, **LIVING}
        return self._chords.update({"q": same, "u": [changed(self.ttl, literal), QUIET]})[0] > 0

    @property
    def _chords(self) -> Documents:
        """The collection, by this process's client; connects where there is none yet."""
        return self._open_chords()

    # The server compares an `_id` field by field in this order, so a run's parts are adjacent.

    def _control_id(self) -> Document:
        return {"_id": {"b": self.name}}

    def _payload_id(self, kept: ObjectId) -> Document:
        return {"_id": {"b": self.name, "a": kept}}

    def _part_id(self, part: Part, run: int) -> Document:
        return {"b": self.name, "r": run, "p": part.place, "m": part.member}

    def _of_run(self, snapshot: Snapshot) -> Document:
        run = int(snapshot.control.run)
        return {"$gt": {"b": self.name, "r": run}, "$lt": {"b": self.name, "r": run + 1}}
