"""The chord's barrier over five methods: a control record, and pages of parts.

The parts are counted in the control record, page by page, by a `compare_and_set` on the version
that was looked at before they were recorded: so the last writer sees every part.
"""

import uuid
from collections.abc import Iterator

from kvbackends.contract import pages
from kvbackends.contract.derived import LostRaces, Operations, get_many
from kvbackends.contract.pages import Run
from kvbackends.contract.records import Part
from kvbackends.contract.stepwise import ABOUT_TTL, NOTHING, Barrier, Control, Listed, Look, Visit


class Paged(Barrier):
    """The barrier of a store that has none of its own."""

    def __init__(self, store: Operations, name: str, ttl: float | None = None) -> None:
        super().__init__(name, ttl)
        self._store = store
        self._key = f"{name}.c"
        self._races = LostRaces()
        self._recorded: tuple[Run, Part] | None = None
        self._count = 0

    def open(self, about: bytes) -> None:
        """Two calls: what is kept, under the new run's name, and the record."""
        run = self._run(Control(run=uuid.uuid4().hex[:12]))
        life = None if self.ttl is None else max(self.ttl, ABOUT_TTL)
        self._store.set(run.about, about, life)
        look = NOTHING
        while not self.swap(look, Control(run=run.run)):
            look = self.look()

    def look(self) -> Look:
        """One call.  Between two looks the record has to change."""
        value, version = self._store.get(self._key) or (None, None)
        self._races.count(version)
        control = Control.decode(value)
        return Look(control, version, sum(control.pages))

    def swap(self, look: Look, control: Control) -> bool:
        """One call."""
        return self._store.compare_and_set(self._key, control.encode(), look.version, self.ttl)

    def tell(self, visit: Visit) -> Look | None:
        """A look, the part, its count: then a look again, unless parts are missing for sure."""
        look = self.look()
        if look.control.done:
            return look
        records = self._record(visit, self._run(look.control))
        told = look.control if visit.size is None else look.control.sized(visit.size)
        if self._recorded is not None:
            told = told.counted(pages.page_of(visit.part), self._count)
        if told == look.control:
            return None if records else look
        waits = self.swap(look, told) and not told.may_be_full(sum(told.pages))
        return NOTHING if waits else None

    def listed(self, look: Look) -> list[Listed]:
        """The pages, in batches."""
        return pages.members(self._store, self._run(look.control), _used(look.control))

    def about(self, look: Look) -> bytes:
        """One call."""
        entry = self._store.get(self._run(look.control).about)
        return entry.value if entry else b""

    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """The pages and the values, in batches."""
        look = self.look()
        run = self._run(look.control)
        keys = {run.value(*each): each for each in self.fixed(look, self.listed(look))}
        for key, value in get_many(self._store, keys):
            yield *keys[key], value

    def forget(self) -> None:
        """What came back to life after the removal goes again."""
        if self._recorded is not None:
            pages.forget(self._store, *self._recorded)

    def discard(self, look: Look) -> None:
        """The pages and the values, in batches; one call for what was kept."""
        run = self._run(look.control)
        pages.discard(self._store, run, _used(look.control))
        self._store.delete(run.about)

    def _run(self, control: Control) -> Run:
        return Run(self.name, control.run)

    def _record(self, visit: Visit, run: Run) -> bool:
        """Record the part, once in each run; True if that was done."""
        if visit.value is None or (self._recorded and self._recorded[0] == run):
            return False
        self._recorded = run, visit.part
        self._count = pages.record(self._store, run, visit.part, visit.value, self.ttl)
        return True


def _used(control: Control) -> list[int]:
    """The pages with members."""
    return [number for number, count in enumerate(control.pages) if count]
