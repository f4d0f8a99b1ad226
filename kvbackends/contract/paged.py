"""The barrier that every store gets from its five methods: a control record and pages of members.

The members of a barrier are spread over pages by a hash, so that an arriving part rewrites a small
record: measured, with one page for all, a part of 10,000 costs more than twice a part of 100.  The
count of each page is kept in the control record, by a compare-and-set against the snapshot that was
read before the part was recorded: so the last arrival sees every part.
"""

import uuid
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from kvbackends.contract.barrier import payload_ttl
from kvbackends.contract.control import Control, Listed
from kvbackends.contract.derived import LostRaces, delete_many, get_many
from kvbackends.contract.records import Part
from kvbackends.contract.stepwise import (
    INCOMPLETE,
    NO_RECORD,
    Snapshot,
    StepwiseBarrier,
    Visit,
)

PAGES = 256
"""With 10,000 parts a page is about 2 KB, the control record with its counts below 1 KB."""

_CONTROL = ".c"
"""Ends the key of a control record."""

_members = msgspec.json.Decoder(list[str]).decode


def barriers_among(keys: Iterator[str]) -> Iterator[str]:
    """The names of the barriers whose control records are among the keys."""
    return (key.removesuffix(_CONTROL) for key in keys if key.endswith(_CONTROL))


class Run(NamedTuple):
    """Where the parts of one run of a barrier are kept."""

    barrier: str
    run: str

    @property
    def payload(self) -> str:
        """The key of the run's payload."""
        return f"{self.barrier}.{self.run}.a"

    def page(self, number: int) -> str:
        """The key of a page."""
        return f"{self.barrier}.{self.run}.p{number}"

    def value(self, place: int, member: str) -> str:
        """The key of a part's value."""
        return f"{self.barrier}.{self.run}.v{place}:{member}"


def page_of(part: Part) -> int:
    """The number of the page that lists this part."""
    return zlib.crc32(part.member.encode()) % PAGES


class Recorded(NamedTuple):
    """A recorded visit: the run, the page, and how many members the page has."""

    run: Run
    page: int
    members: int


class PagedBarrier(StepwiseBarrier):
    """The barrier of a store that has none of its own."""

    @property
    def _key(self) -> str:
        return self.name + _CONTROL

    def open(self, payload: bytes) -> None:
        """Two calls: the payload, under the new run's name, and the control record."""
        run, races = self._run(Control(run=uuid.uuid4().hex[:12])), LostRaces()
        self.store.set(run.payload, payload, payload_ttl(self.ttl))
        snapshot = NO_RECORD
        while not self.swap(snapshot, Control(run=run.run)):
            races.count(snapshot.version)
            snapshot = self.snapshot()

    def snapshot(self) -> Snapshot:
        """One call."""
        value, version = self.store.get(self._key) or (None, None)
        control = Control.decode(value)
        return Snapshot(control, version, sum(control.pages))

    def swap(self, snapshot: Snapshot, control: Control) -> bool:
        """One call."""
        return self.store.compare_and_set(self._key, control.encode(), snapshot.version, self.ttl)

    def record(self, visit: Visit) -> Snapshot | None:
        """A snapshot, the part, its count; then a snapshot again, unless parts are missing."""
        snapshot = self.snapshot()
        visit.races.count(snapshot.version)  # the record has to change between two turns
        control = snapshot.control
        if not snapshot.open:
            return snapshot
        is_new = self._record_part(visit, self._run(control))
        changed = control if visit.size is None else control.sized(visit.size)
        if visit.recorded is not None:
            changed = changed.counted(visit.recorded.page, visit.recorded.members)
        if changed == control:
            return None if is_new else snapshot
        waits = self.swap(snapshot, changed) and not changed.may_be_full(sum(changed.pages))
        return INCOMPLETE if waits else None

    def listed(self, snapshot: Snapshot) -> list[Listed]:
        """The pages, in batches."""
        return self._members(self._run(snapshot.control), _used(snapshot.control))

    def payload(self, snapshot: Snapshot) -> bytes:
        """One call."""
        entry = self.store.get(self._run(snapshot.control).payload)
        return entry.value if entry else b""

    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """The pages and the values, in batches."""
        snapshot = self.snapshot()
        run = self._run(snapshot.control)
        keys = {run.value(*each): each for each in self.chosen(snapshot, self.listed(snapshot))}
        for key, value in get_many(self.store, keys):
            yield *keys[key], value

    def forget(self, visit: Visit) -> None:
        """Remove the part and its whole page, which `close` may have yet to read."""
        if visit.recorded is not None:
            run, page, _ = visit.recorded
            self.store.delete(run.value(visit.part.place, visit.part.member))
            self._discard(run, [page])

    def discard(self, snapshot: Snapshot) -> None:
        """The values and the pages, in batches; one call for the payload."""
        run = self._run(snapshot.control)
        self._discard(run, _used(snapshot.control))
        self.store.delete(run.payload)

    def _run(self, control: Control) -> Run:
        return Run(self.name, control.run)

    def _record_part(self, visit: Visit, run: Run) -> bool:
        """Record the part, once in each run; True if that was done.

        The value first: a member that is listed has a value.
        """
        if visit.value is None or (visit.recorded and visit.recorded.run == run):
            return False
        place, member, _ = visit.part
        page = page_of(visit.part)
        self.store.compare_and_set(run.value(place, member), visit.value, None, self.ttl)
        listed = self.store.add_member(run.page(page), f"{place}:{member}", self.ttl)
        visit.recorded = Recorded(run, page, len(listed))
        return True

    def _members(self, run: Run, pages: list[int]) -> list[Listed]:
        found = get_many(self.store, [run.page(number) for number in pages])
        listed = (text.partition(":") for _, page in found for text in _members(page))
        return [(int(place), member) for place, _, member in listed]

    def _discard(self, run: Run, pages: list[int]) -> None:
        # Values first: the pages are needed to find them, should this be cut short and repeated.
        delete_many(self.store, [run.value(*each) for each in self._members(run, pages)])
        delete_many(self.store, [run.page(number) for number in pages])


def _used(control: Control) -> list[int]:
    """The pages with members."""
    return [number for number, count in enumerate(control.pages) if count]
