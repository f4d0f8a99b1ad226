"""Finds out what each page shows."""

import heapq
import math
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from kvbackends.admin import Admin, ChordInfo, Ended, Page, ResultDetail, Wanted
from kvbackends.errors import NotSupported
from kvbackends.web import shown
from kvbackends.web.asked import Asked
from kvbackends.web.picture import picture
from kvbackends.web.remembered import Remembered
from kvbackends.web.tally import Tally

ROWS = 100
"""Results of one page."""
CHORDS = 200
"""Chords of a page, the most urgent ones."""
PARTS = 200
"""Missing parts of a chord that are named."""
BARS = 50
"""Tasks whose progress is shown."""
MINUTE = timedelta(minutes=1)
MEASURED = 150
"""Latencies that are kept: one each 2 s makes five minutes."""

Context = dict[str, Any]


class Chords(msgspec.Struct, frozen=True):
    """The chords in flight."""

    urgent: list[ChordInfo]
    count: int
    oldest: float
    complete: int


class Store:
    """Asks the store of one app, no more often than it can bear."""

    def __init__(self, admin: Admin) -> None:
        self.admin = admin
        self.remembered = Remembered()
        self.latencies: deque[float] = deque(maxlen=MEASURED)

    def listed(self, asked: Asked) -> tuple[Page, Tally]:
        """The results of a page, and the counts of all that are wanted."""
        wanted = asked.wanted()

        def find() -> tuple[Page, Tally]:
            tally = Tally()
            criteria = {name: getattr(wanted, name) for name in Wanted.__struct_fields__}
            cursor = asked.cursor or None
            page = self.admin.results(**criteria, cursor=cursor, limit=ROWS, seen=tally.add)
            return page, tally

        return self.remembered.ask(asked, find)

    def chords(self) -> Chords:
        """The chords in flight: complete ones first, which nobody dispatched yet, then by age."""
        return self.remembered.ask("chords", self._chords)

    def _chords(self) -> Chords:
        count, complete, oldest = 0, 0, 0.0

        def counted(chord: ChordInfo) -> ChordInfo:
            nonlocal count, complete, oldest
            count += 1
            complete += chord.is_complete
            oldest = max(oldest, chord.age or 0.0)
            return chord

        urgent = heapq.nsmallest(CHORDS, map(counted, self.admin.chords()), key=_urgency)
        return Chords(urgent, count, oldest, complete)

    def chord_of(self, body_id: str) -> ChordInfo | None:
        """The chord in flight with this body."""
        return self.remembered.ask(("body", body_id), lambda: self.admin.chord_of(body_id))

    def ended(self, group_id: str) -> Ended | None:
        """A chord that is not in flight, where the store can tell."""
        try:
            return self.remembered.ask(("ended", group_id), lambda: self.admin.ended(group_id))
        except NotSupported:
            return None

    def latency(self) -> float:
        """Seconds of one round trip, measured at most once a second."""
        return self.remembered.ask(("latency", int(time.monotonic())), self._latency)

    def _latency(self) -> float:
        self.latencies.append(found := self.admin.latency())
        return found


def _urgency(chord: ChordInfo) -> tuple[bool, float]:
    return not chord.is_complete, -(chord.age if chord.age is not None else math.inf)


def results(store: Store, asked: Asked) -> Context:
    """The list of results, with a histogram."""
    page, tally = store.listed(asked)
    return {"page": page, "tally": tally, "bars": tally.bars()}


def result(store: Store, asked: Asked) -> Context:
    """One result; `detail` is None if nothing is stored."""
    detail = store.admin.result(asked.id) if asked.id else None
    if detail is None:
        return {"detail": None, "missing": True}
    record = detail.record
    near = {each.id: each for each in store.admin.named({detail.parent, detail.chord} - {""})}
    return {
        "detail": detail,
        "fields": shown.fields(record),
        "outcome": shown.outcome(record),
        "arguments": [
            (name, shown.text_of(record[name])) for name in ("args", "kwargs") if name in record
        ],
        "traceback": shown.text_of(record.get("traceback") or ""),
        "progress": shown.progress(record),
        "picture": picture(detail, near),
    }


def progress(store: Store, asked: Asked) -> Context:
    """Tasks that tell how far they are."""
    page, _ = store.listed(Asked(state=asked.state or "PROGRESS", task=asked.task))
    found = (store.admin.result(each.id) for each in page.results[:BARS])
    told: list[tuple[ResultDetail, Any]] = [
        (each, shown.progress(each.record)) for each in found if each is not None
    ]
    return {"tasks": told, "more": len(page.results) > BARS}


def chords(store: Store, _asked: Asked) -> Context:
    """The chords in flight."""
    return {"chords": store.chords()}


def chord(store: Store, asked: Asked) -> Context:
    """One chord; None if it is not in flight; then `ended` is what is stored of it."""
    found = (store.admin.chord(asked.id) or store.chord_of(asked.id)) if asked.id else None
    ended = store.ended(asked.id) if asked.id and found is None else None
    return {"chord": found, "ended": ended, "parts": PARTS, "missing": not (found or ended)}


def health(store: Store, _asked: Asked) -> Context:
    """What the store says, and how fast it is."""
    found = store.remembered.ask("health", store.admin.health)
    context: Context = {"health": found, "latencies": [], "rate": None}
    if found.ok:
        store.latency()
        context["latencies"] = list(store.latencies)
        try:
            _, tally = store.listed(Asked())
            context["rate"] = tally.since(datetime.now(UTC) - MINUTE) / MINUTE.total_seconds()
        except NotSupported:
            pass  # the check of its features says so
    return context


class View(NamedTuple):
    """A page of the site."""

    title: str
    context: Callable[[Store, Asked], Context]


VIEWS = {
    "results": View("Results", results),
    "result": View("Result", result),
    "progress": View("Progress", progress),
    "chords": View("Chords", chords),
    "chord": View("Chord", chord),
    "health": View("Health", health),
}
