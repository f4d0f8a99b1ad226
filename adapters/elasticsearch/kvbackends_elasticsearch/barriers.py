"""The chord's barrier in documents: a part is one bulk request.

A barrier's documents have one routing, so they are on one shard, which does the items of a request
one after the other, on the primary.  Those of a run are: the **values**, each created once; the
**counter**, which every arrival writes again, so that its ``_version`` counts them; and what the
publisher kept.  The **control record** belongs to all runs, and no part writes it.

An arrival creates its value, counts it, and reads the control record, in this order; the size is
written first, and the counter read after it: so whoever is last sees all.  An arrival that is
repeated counts twice.  So a count that is high enough only says that it is worth while to list the
values, after a refresh; and the list decides.
"""

import uuid
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from kvbackends import Arrival, Outcome, Part, PerProcess
from kvbackends_elasticsearch.client import CREATE, Action, Client, reading
from kvbackends_elasticsearch.control import Control, Listed, Owner
from kvbackends_elasticsearch.documents import Document, encode, expiry
from kvbackends_elasticsearch.index import PAGE
from kvbackends_elasticsearch.recent import Recent
from kvbackends_elasticsearch.records import Look, Records, Run, id_of_record, routing_of

KEPT = 30 * 86400.0
"""Seconds.  What parts do not renew outlives chords that run for weeks."""
DELETED_AT_ONCE = 1000

_WAITING = Arrival(Outcome.WAITING)
_CLOSED = Arrival(Outcome.CLOSED)


class Visit(NamedTuple):
    """What comes to a barrier: a part with its value, the size, or somebody who looks."""

    part: Part
    ttl: float | None
    value: bytes | None = None
    evict: str | None = None
    size: int | None = None

    @property
    def arrives(self) -> bool:
        """False for who only looks."""
        return self.value is not None or self.size is not None

    def may_break(self, owner: Owner) -> bool:
        """True if a claim of `owner` gives way; who only looks does not break that of its part."""
        return owner.delivery == self.evict or (self.arrives and owner.is_part(self.part))


class Counted(NamedTuple):
    """The control record, and how many have arrived at least."""

    look: Look
    arrived: int


class Barriers:
    """All barriers of one index."""

    def __init__(self, client: PerProcess[Client], *, as_text: bool) -> None:
        self._client = client
        self._as_text = as_text
        self._records = Records(client)
        self._lists: Recent[tuple[int, list[Listed]]] = Recent(100)
        """By a delivery that claimed, in this process: the count, and the parts listed then."""

    # -- operations ---------------------------------------------------------------------------

    def open(self, barrier: str, about: bytes, ttl: float | None) -> None:
        """A new run: other ids for its documents, so nothing of an earlier one counts."""
        run = Run(barrier, _new_run())
        body = encode(about, ttl and max(ttl, KEPT), as_text=self._as_text, run=run.run)
        before = [Action("index", run.about, body)]
        look, control = Look(None, CREATE), Control(run=run.run)
        while not self._records.replace(barrier, look, control, ttl, before=before):
            look, before = self._records.read(barrier), []

    def visit(self, visit: Visit) -> Arrival:
        """One turn of the protocol, without waiting."""
        barrier, recorded = visit.part.barrier, ""
        look = self._records.seen(barrier)
        while True:
            look = look or self._records.read(barrier)
            if look.control is None:
                if not visit.arrives:
                    return _WAITING
                begun = self._records.replace(barrier, look, Control(run=_new_run()), visit.ttl)
                look = begun and begun.look
                continue
            if look.control.done:
                return _CLOSED
            run = Run(barrier, look.control.run)
            counted = self._told(visit, run, look, again=recorded == run.run)
            recorded, look = run.run, None
            answer = counted and self._answer(visit, run, counted)
            if answer:
                return answer

    def expect_more(self, part: Part, slot: int, member: str, ttl: float | None) -> None:
        """One part more; nothing has to look afterwards, for the adder has not arrived yet."""
        name = f"{part.place}:{part.member}:{slot}"
        while True:
            look = self._records.read(part.barrier)
            control = look.control or Control(run=_new_run())
            changed = control.added(name, member)
            if changed == control or self._records.replace(part.barrier, look, changed, ttl):
                return

    def parts(self, barrier: str) -> Iterator[tuple[Part, bytes]]:
        """The values; those that have expired are left out."""
        control = self._records.read(barrier).control
        if control is None or control.done:
            return
        run = Run(barrier, control.run)
        known = self._lists.get(_claim_of(run, control.owner.delivery)) if control.owner else None
        listed = self._list(run) if known is None else known[1]
        chosen = control.chosen(listed)
        if chosen and control.surpasses(chosen) and (now := self._records.read(barrier).control):
            chosen = now.chosen(listed)  # whatever is listed was added before
        ids = {run.value(*each): each for each in chosen or listed}
        for name, source in self._client().get_many(ids, routing_of(barrier)):
            if source.is_alive():
                yield Part(barrier, *ids[name], ""), source.value()

    def renew(self, part: Part) -> bool:
        """True if this delivery still holds the claim."""
        control = self._records.read(part.barrier).control
        owner = control.owner if control else None
        return owner is not None and owner.delivery == part.delivery

    def close(self, part: Part, ttl: float | None, store_result: Callable[[], object]) -> None:
        """The tombstone, whoever holds the claim by now; the result; then the parts go.

        A run that nobody has claimed began after the one that was dispatched, and is left alone.
        """
        closed = self._closed(part.barrier, ttl)
        store_result()
        if closed is not None:
            run, count = closed
            known = self._lists.pop(_claim_of(run, part.delivery))
            # Nothing was counted since: what was listed is all there is.
            self._discard(run, known[1] if known and known[0] == count else self._list(run))

    # -- one turn -----------------------------------------------------------------------------

    def _told(self, visit: Visit, run: Run, look: Look, *, again: bool) -> Counted | None:
        """Tell what this visit brings, and look afterwards; None if the record has changed."""
        control = look.control or Control()
        if visit.size is not None and visit.size != control.size:
            replaced = self._records.replace(
                run.barrier,
                look,
                control.sized(visit.size),
                visit.ttl,
                after=[reading(run.counter)],
            )
            return replaced and Counted(replaced.look, replaced.after[0].count)
        brings = visit.value is not None and not again
        first = self._recording(visit, run) if brings else [reading(run.counter)]
        routing, record_now = routing_of(run.barrier), reading(id_of_record(run.barrier))
        *before, counter, record = self._client().bulk([*first, record_now], routing)
        if before and not before[0].done and self._is_gone(first[0], routing):
            # Expired, or discarded while this came late: only what is read after it tells.
            anew = [first[0]._replace(kind="index"), reading(run.counter), record_now]
            _, counter, record = self._client().bulk(anew, routing)
        return Counted(self._records.found(run.barrier, record.document()), counter.count)

    def _recording(self, visit: Visit, run: Run) -> list[Action]:
        part, ttl = visit.part, visit.ttl
        value = encode(
            visit.value or b"",
            ttl,
            as_text=self._as_text,
            run=run.run,
            part=f"{part.place}:{part.member}",
        )
        count = msgspec.json.encode({"run": run.run, "expires": expiry(ttl and max(ttl, KEPT))})
        return [
            Action("create", run.value(part.place, part.member), value),
            Action("index", run.counter, count),
        ]

    def _is_gone(self, value: Action, routing: str) -> bool:
        """The part's first value stays, unless it is there no more."""
        document = self._client().get(value.id, routing)
        return document is None or not document.source.is_alive()

    def _answer(self, visit: Visit, run: Run, counted: Counted) -> Arrival | None:
        """What the arrival finds; None if it has to look again."""
        control = counted.look.control
        if control is None or control.done or control.run != run.run:
            self._forget(visit, run)
            return _CLOSED if control and control.done else None
        part, owner = visit.part, control.owner
        if owner is None:
            return self._claimed(visit, run, counted, control)
        if owner.delivery == part.delivery:
            about = self._client().get(run.about, routing_of(run.barrier))
            return _claimed(owner.parts, about)
        if not visit.may_break(owner):
            return Arrival(Outcome.HELD, holder=owner.delivery)
        return self._owned(visit, run, counted.look, control.owned(part, owner.parts))

    def _claimed(
        self, visit: Visit, run: Run, counted: Counted, control: Control
    ) -> Arrival | None:
        chosen = None
        if control.may_be_full(counted.arrived):
            listed = self._list(run)
            chosen = control.chosen(listed)
        if chosen is None:
            self._renew_record(visit, counted.look, control)
            return _WAITING
        self._lists.put(_claim_of(run, visit.part.delivery), (counted.arrived, listed))
        mine = control.fixed(chosen).owned(visit.part, len(chosen))
        return self._owned(visit, run, counted.look, mine)

    def _owned(self, visit: Visit, run: Run, look: Look, control: Control) -> Arrival | None:
        """Claim on condition of what was looked at; nothing was discarded before it changes."""
        after = [reading(run.about)]
        replaced = self._records.replace(run.barrier, look, control, visit.ttl, after=after)
        if replaced is None or control.owner is None:
            return None
        return _claimed(control.owner.parts, replaced.after[0].document())

    def _renew_record(self, visit: Visit, look: Look, control: Control) -> None:
        part, ttl = visit.part, visit.ttl
        if visit.arrives and look.ends_within(ttl):
            self._records.replace(part.barrier, look, control, ttl)

    # -- parts --------------------------------------------------------------------------------

    def _list(self, run: Run) -> list[Listed]:
        """All parts that were confirmed before this call."""
        index = self._client().index
        index.refresh()
        query = {"bool": {"filter": [{"term": {"run": run.run}}, {"exists": {"field": "part"}}]}}
        listed: list[str] = []
        more: dict[str, object] = {"sort": ["part"], "stored_fields": "_none_"}
        while hits := index.search(query, routing=routing_of(run.barrier), **more):
            listed += (hit.sort[0] for hit in hits)
            if len(hits) < PAGE:
                break
            more["search_after"] = listed[-1:]
        split = (text.partition(":") for text in listed)
        return [(int(place), member) for place, _, member in split]

    def _forget(self, visit: Visit, run: Run) -> None:
        """Undo the recording of a part that came too late."""
        if visit.value is not None:
            self._delete(run, [run.value(visit.part.place, visit.part.member), run.counter])

    def _discard(self, run: Run, listed: list[Listed]) -> None:
        ids = [run.value(*each) for each in listed] + [run.counter, run.about]
        for start in range(0, len(ids), DELETED_AT_ONCE):
            self._delete(run, ids[start : start + DELETED_AT_ONCE])

    def _delete(self, run: Run, ids: list[str]) -> None:
        self._client().bulk([Action("delete", each) for each in ids], routing_of(run.barrier))

    def _closed(self, barrier: str, ttl: float | None) -> tuple[Run, int] | None:
        """Write the tombstone; the run that it ends, and how many had arrived."""
        while True:
            look = self._records.seen(barrier)
            if look is None or look.control is None or look.control.owner is None:
                look = self._records.read(barrier)
            control = look.control or Control()
            if look.control is not None and control.owner is None and not control.done:
                return None
            run, after = Run(barrier, control.run), [reading(Run(barrier, control.run).counter)]
            replaced = self._records.replace(barrier, look, control.closed(), ttl, after=after)
            if replaced is not None:
                return run, replaced.after[0].count


def _claimed(parts: int, about: Document | None) -> Arrival:
    kept = about.source.value() if about and about.source.is_alive() else b""
    return Arrival(Outcome.CLAIMED, parts=parts, about=kept)


def _claim_of(run: Run, delivery: str) -> str:
    return f"{run.run} {delivery}"


def _new_run() -> str:
    return uuid.uuid4().hex[:12]
