"""The chord's barrier: the meaning of `kvbackends.derived.barrier`, in two requests a part.

A barrier is a control document and one document a part, whose `_id` is its identity, so the first
value stays.  An arrival is one request with three steps in order: the part is recorded; then it is
counted; then the server says whether parts are certainly missing.  A part that comes twice is
counted twice: the count never is too low, and that is enough, because the list of the parts decides
before anybody claims.  Only who finds that the count may be enough reads the control document.

A part's document is named by the run, which who brings it does not know.  Nearly every barrier is
opened once, so its run is taken to be 0; the count is made in that run only, and fails in others.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from bson import Binary, ObjectId
from pymongo import DeleteMany, DeleteOne, ReturnDocument

from kvbackends import Arrival, Outcome, Part
from kvbackends_mongodb.client import Document, Documents
from kvbackends_mongodb.control import (
    LIVE,
    QUIET,
    Control,
    begun,
    changed,
    closed,
    live_or_begun,
)
from kvbackends_mongodb.entries import ALIVE, expiry

ABOUT_TTL = 30 * 86400.0
"""Seconds.  What the publisher kept is not renewed by arrivals, so it outlives long chords."""

RUNS = 10_000
"""Barriers that were opened more than once, whose runs a process keeps in mind."""

_WAITING = Arrival(Outcome.WAITING)
_CLOSED = Arrival(Outcome.CLOSED)


class Visit(NamedTuple):
    """What comes to a barrier: a part with its value, the size, or somebody who looks."""

    part: Part
    ttl: float | None
    value: bytes | None = None
    evict: str | None = None
    size: int | None = None

    def gives_way(self, control: Control) -> bool:
        """True if nobody's claim stands against this visit's.

        A part that arrives breaks a claim of its own at once: its earlier delivery is lost.  Who
        only looks does not, or two deliveries that both live would take it from each other.
        """
        owner, part = control.owner, self.part
        arrives = self.value is not None or self.size is not None
        return (
            owner is None
            or owner.delivery in (part.delivery, self.evict)
            or (arrives and owner[:2] == (part.place, part.member))
        )


class Barriers:
    """The barriers in one collection."""

    def __init__(self) -> None:
        self._runs: dict[str, int] = {}

    def arrive(self, chords: Documents, visit: Visit) -> Arrival:
        """One request while parts are missing; then look, list and claim."""
        name = visit.part.barrier
        recorded: int | None = None
        run = self._runs.get(name, 0)
        while True:
            if visit.value is not None and recorded != run:
                recorded = run
                if _record(chords, visit, run):
                    return _WAITING
            control = look(chords, name)
            if control is None and visit.value is None:
                return _WAITING
            if control is None:
                recorded = None  # it has expired since: begin again
            elif control.done:
                if recorded is not None:
                    chords.collection.delete_one({"_id": _part_id(visit.part, recorded)})
                return _CLOSED
            elif visit.value is not None and control.run != run:
                run = self._remembered(name, control.run)
            elif answer := _claim(chords, visit, control):
                return answer

    def expect(self, chords: Documents, visit: Visit) -> Arrival:
        """One request while parts are missing."""
        told = [
            live_or_begun(visit.ttl),
            changed(visit.ttl, {"size": {"$literal": visit.size}}),
            QUIET,
        ]
        control = _changed(chords, visit.part.barrier, told)
        if control.done:
            return _CLOSED
        answer = _WAITING if control.quiet else _claim(chords, visit, control)
        return answer or self.arrive(chords, visit)

    def _remembered(self, name: str, run: int) -> int:
        if len(self._runs) >= RUNS:
            self._runs.clear()
        self._runs[name] = run
        return run


def open_barrier(chords: Documents, barrier: str, about: bytes, ttl: float | None) -> None:
    """One request.  A new run has another number, so nothing of an earlier one counts."""
    kept = ObjectId()
    life = None if ttl is None else max(ttl, ABOUT_TTL)
    document = {"_id": "$_id", "about": Binary(about), "expires": expiry(life)}
    run = [{"$replaceWith": {**begun(ttl, 0), "about": kept}}, QUIET]
    chords.update(
        {"q": _about_id(barrier, kept), "u": [{"$replaceWith": document}], "upsert": True},
        {"q": _control_id(barrier), "u": run, "upsert": True},
    )


def expect_more(chords: Documents, part: Part, slot: int, member: str, ttl: float | None) -> None:
    """Two requests."""
    while True:
        control = look(chords, part.barrier) or _changed(
            chords, part.barrier, [live_or_begun(ttl), QUIET]
        )
        fields = control.added(f"{part.place}:{part.member}:{slot}", member)
        if fields is None or _compare_and_change(chords, part.barrier, control, fields, ttl):
            return


def parts(chords: Documents, barrier: str) -> Iterator[tuple[Part, bytes]]:
    """Two requests, and more for each 1,000 parts or 16 MB.  Expired parts are left out."""
    control = look(chords, barrier)
    if control is None or control.done:
        return
    found = chords.collection.find(
        {"_id": _of_run(barrier, control.run), "$expr": ALIVE}, {"value": 1}
    )
    values = {
        (each["_id"]["p"], each["_id"]["m"]): each["value"] for each in found.batch_size(1000)
    }
    chosen = control.chosen(values)
    if chosen and control.surpasses(chosen) and (now := look(chords, barrier)):
        chosen = now.chosen(values)  # whatever is listed was added before
    for place, member in chosen or values:
        yield Part(barrier, place, member, ""), values[place, member]


def renew(chords: Documents, part: Part) -> bool:
    """One request: is the claim still this delivery's?"""
    control = look(chords, part.barrier)
    owner = None if control is None or control.done else control.owner
    return owner is not None and owner.delivery == part.delivery


def close(chords: Documents, barrier: str, ttl: float | None) -> Control:
    """The tombstone, in one request; not over a run that nobody has claimed."""
    return _changed(chords, barrier, closed(ttl))


def discard(chords: Documents, barrier: str, control: Control) -> None:
    """What a closed run and those before it have left, in one request."""
    earlier = {"$gt": {"b": barrier}, "$lt": {"b": barrier, "r": control.run + 1}}
    removed: list[Any] = [DeleteMany({"_id": earlier})]
    if control.about is not None:
        removed.append(DeleteOne(_about_id(barrier, control.about)))
    chords.collection.bulk_write(removed)


def look(chords: Documents, barrier: str) -> Control | None:
    """The control document, if it is there and has not expired."""
    found = chords.first({**_control_id(barrier), "$expr": LIVE})
    return None if found is None else Control.of(found)


def _record(chords: Documents, visit: Visit, run: int) -> bool:
    """Record and count a part in `run`; True if parts are certainly missing."""
    value = {"_id": "$_id", "value": Binary(visit.value or b""), "expires": expiry(visit.ttl)}
    barrier = _control_id(visit.part.barrier)
    counted = {"$cond": [{"$eq": ["$run", run]}, {"$add": ["$counted", 1]}, "$counted"]}
    count = [live_or_begun(visit.ttl, run), changed(visit.ttl, {"counted": counted}), QUIET]
    record = [{"$replaceWith": {"$cond": [ALIVE, "$$ROOT", value]}}]
    asked = {"$set": {"quiet": run}}  # changes nothing
    found, _ = chords.update(
        {"q": {"_id": _part_id(visit.part, run)}, "u": record, "upsert": True},
        {"q": barrier, "u": count, "upsert": True},
        {"q": {**barrier, "quiet": run}, "u": asked},
    )
    return found == 3


def _claim(chords: Documents, visit: Visit, control: Control) -> Arrival | None:
    """Claim what was looked at; None if it has changed meanwhile."""
    part, owner = visit.part, control.owner
    if control.quiet:
        return _WAITING
    if owner is not None and not visit.gives_way(control):
        return Arrival(Outcome.HELD, holder=owner.delivery)
    # Listed before the claim; the list decides.
    listed, about = _listed(chords, part.barrier, control)
    chosen = control.chosen(listed)
    if chosen is None:
        # Who was counted when the control document was read is on the list, or has expired.
        if control.counted > len(listed):
            fields = {"counted": len(listed)}
            _compare_and_change(chords, part.barrier, control, fields, visit.ttl)
        return _WAITING
    if owner is None or owner.delivery != part.delivery:
        fields = control.claimed(part, chosen)
        if not _compare_and_change(chords, part.barrier, control, fields, visit.ttl):
            return None
    return Arrival(Outcome.CLAIMED, parts=len(chosen), about=about)


def _listed(
    chords: Documents, barrier: str, control: Control
) -> tuple[list[tuple[int, str]], bytes]:
    """The parts of the run, and what its publisher kept."""
    ours: list[Document] = [{"_id": _of_run(barrier, control.run)}]
    if control.about is not None:
        ours.append(_about_id(barrier, control.about))
    found = list(chords.collection.find({"$or": ours}, {"about": 1}, batch_size=100_000))
    about = next((each["about"] for each in found if "about" in each), b"")
    ids = (each["_id"] for each in found if "about" not in each)
    return [(each["p"], each["m"]) for each in ids], about


def _changed(chords: Documents, barrier: str, pipeline: list[Document]) -> Control:
    after: Any = chords.collection.find_one_and_update(
        _control_id(barrier), pipeline, upsert=True, return_document=ReturnDocument.AFTER
    )
    return Control.of(after)


def _compare_and_change(
    chords: Documents, barrier: str, control: Control, fields: Document, ttl: float | None
) -> bool:
    """Change these fields of what was looked at; False if it has changed meanwhile."""
    literal = {name: {"$literal": value} for name, value in fields.items()}
    same = {**_control_id(barrier), "version": control.version, "$expr": LIVE}
    return chords.update({"q": same, "u": [changed(ttl, literal), QUIET]})[0] > 0


# Documents as `_id` are compared field by field, in this order: a run's parts lie together.


def _control_id(barrier: str) -> Document:
    return {"_id": {"b": barrier}}


def _about_id(barrier: str, kept: ObjectId) -> Document:
    return {"_id": {"b": barrier, "a": kept}}


def _part_id(part: Part, run: int) -> Document:
    return {"b": part.barrier, "r": run, "p": part.place, "m": part.member}


def _of_run(barrier: str, run: int) -> Document:
    return {"$gt": {"b": barrier, "r": run}, "$lt": {"b": barrier, "r": run + 1}}
