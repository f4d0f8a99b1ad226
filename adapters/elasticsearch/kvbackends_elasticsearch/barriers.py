"""The requests of a chord's barrier: a part is one bulk request.

A barrier's documents have one routing, so they are on one shard, whose primary executes the items
of a request in order.  A run has **values**, each created once; a **counter**, which every arrival
writes again, so that its ``_version`` counts them; and the payload.  The **control record** belongs
to all runs, and no part writes it.

An arrival creates its value, counts it, and reads the control record, in this order; the size is
written before the counter is read: so the last arrival sees all.  A repeated arrival counts twice.
So a sufficient count only makes it worth while to list the values; the list decides.
"""

import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from kvbackends.contract import (
    NO_RECORD,
    Control,
    Listed,
    Recent,
    Snapshot,
    StepwiseBarrier,
    Store,
    Visit,
    payload_ttl,
)
from kvbackends_elasticsearch.client import CREATE, Action, Client, Item, reading, writing
from kvbackends_elasticsearch.documents import Document, Version, encode, expiry, id_of
from kvbackends_elasticsearch.index import PAGE

DELETED_AT_ONCE = 1000
CONTROL = ".c"
"""Ends the id of a control record."""
LONGER = 4 / 3
"""Control records live this many times the ttl: so not every part has to renew them, and none ends
before the ttl of a part that has just arrived."""


class Stored(NamedTuple):
    """A control record's version, and its expiry in milliseconds since the epoch."""

    version: Version
    expires: float | None

    def ends_within(self, ttl: float | None) -> bool:
        """True if it expires before this ttl ends."""
        if self.expires is None:
            return False
        return ttl is None or self.expires < (time.time() + ttl) * 1000


class Replaced(NamedTuple):
    """A control record as it was written, and the document that was read right after it."""

    snapshot: Snapshot
    read: Item


class Memory:
    """A process's hints about the barriers of one index."""

    def __init__(self) -> None:
        self.snapshots: Recent[Snapshot] = Recent()
        """The control records read or written last; a hint at the present run."""
        self.lists: Recent[tuple[int, list[Listed]]] = Recent(100)
        """By run and delivery of a claim: the count, and the parts listed then."""


class ElasticsearchBarrier(StepwiseBarrier):
    """A barrier in the documents of one index."""

    def __init__(
        self,
        store: Store,
        client: Client,
        memory: Memory,
        name: str,
        ttl: float | None = None,
        *,
        as_text: bool = True,
    ) -> None:
        super().__init__(store, name, ttl)
        self._client = client
        self._memory = memory
        self._as_text = as_text
        self._routing = f"{zlib.crc32(name.encode()):x}"
        self._record = self._id(CONTROL[1:])
        self._over = CREATE
        """The version of the expired control record, or `CREATE`."""
        self._last = memory.snapshots.get(name)
        self._written: list[str] = []
        self._list: list[Listed] = []

    def open(self, payload: bytes) -> None:
        """Cost: one request if there is no record.  Every run has documents of its own."""
        control = Control(run=_new_run())
        body = encode(payload, payload_ttl(self.ttl), run=control.run, as_text=self._as_text)
        snapshot, before = NO_RECORD, [Action("index", self._payload_id(control), body)]
        while not self._replace(snapshot, control, before=before):
            snapshot, before = self.snapshot(), []

    def record(self, visit: Visit) -> Snapshot | None:
        """Cost: one request, and one before it if this process does not know the barrier."""
        control = (snapshot := self._last_seen()).control
        if not snapshot.open:
            return snapshot
        if visit.size is None or visit.size == control.size:
            return self._arrive(visit, control)
        sized = self._replace(snapshot, control.sized(visit.size), reading(self._counter(control)))
        return sized and sized.snapshot._replace(arrived=sized.read.count)

    def snapshot(self) -> Snapshot:
        """Cost: one request."""
        return self._found(self._client.get(self._record, self._routing))

    def swap(self, snapshot: Snapshot, control: Control) -> bool:
        """Cost: one request."""
        return self._replace(snapshot, control) is not None

    def listed(self, snapshot: Snapshot) -> list[Listed]:
        """Cost: a refresh and a search, to find every confirmed write; none after its own claim."""
        known = self._memory.lists.get(_claim(snapshot.control))
        self._list = self._search(snapshot.control) if known is None else known[1]
        return self._list

    def payload(self, snapshot: Snapshot) -> bytes:
        """Cost: one request."""
        return _value(self._client.get(self._payload_id(snapshot.control), self._routing))

    def claim(self, snapshot: Snapshot, control: Control) -> bytes | None:
        """Cost: one request."""
        if snapshot.control.claim is None:
            self._memory.lists.put(_claim(control), (snapshot.arrived, self._list))
        replaced = self._replace(snapshot, control, reading(self._payload_id(control)))
        return None if replaced is None else _value(replaced.read.document())

    def parts(self) -> Iterator[tuple[int, str, bytes]]:
        """Cost: two requests if this process holds the claim and the values are small."""
        snapshot = self.snapshot()
        if not snapshot.open:
            return
        chosen = self.chosen(snapshot, self.listed(snapshot))
        ids = {self._value(snapshot.control, *each): each for each in chosen}
        for name, source in self._client.get_many(ids, self._routing):
            if source.is_alive():
                yield *ids[name], source.value()

    def forget(self, visit: Visit) -> None:
        """Cost: one request."""
        written, self._written = self._written, []
        if written:
            self._delete(written)

    def end(self) -> Snapshot | None:
        """Cost: one request, which also reads the counter, if this process has seen the claim."""
        if self._last is not None and self._last.control.claim is None:
            self._last = None
        while True:
            snapshot = self._last_seen()
            control = snapshot.control
            if snapshot.open and control.claim is None:
                return None
            closed = self._replace(snapshot, control.closed(), reading(self._counter(control)))
            if closed is not None:
                return snapshot._replace(arrived=closed.read.count)

    def discard(self, snapshot: Snapshot) -> None:
        """Cost: one request for 1,000 documents; and a search, if the claim's list is outdated."""
        control, known = snapshot.control, self._memory.lists.pop(_claim(snapshot.control))
        listed = known[1] if known and known[0] == snapshot.arrived else self._search(control)
        ids = [self._value(control, *each) for each in listed]
        ids += [self._counter(control), self._payload_id(control)]
        for start in range(0, len(ids), DELETED_AT_ONCE):
            self._delete(ids[start : start + DELETED_AT_ONCE])

    def _last_seen(self) -> Snapshot:
        """The remembered snapshot, once; then, or without one, a fresh snapshot."""
        last, self._last = self._last, None
        return last or self.snapshot()

    def _found(self, document: Document | None) -> Snapshot:
        if document is None or not document.source.is_alive():
            self._over = document.version if document else CREATE
            return self._noted(NO_RECORD)
        source, version = document
        control = msgspec.convert(source.control, Control)
        return self._noted(Snapshot(control, Stored(version, source.expires)))

    def _noted(self, snapshot: Snapshot) -> Snapshot:
        if snapshot.open:
            self._memory.snapshots.put(self.name, snapshot)
        else:
            self._memory.snapshots.pop(self.name)
        return snapshot

    def _replace(
        self, snapshot: Snapshot, control: Control, *after: Action, before: Sequence[Action] = ()
    ) -> Replaced | None:
        """Write `control` if the record is unchanged; None if it has changed."""
        if not control.run:
            control = msgspec.structs.replace(control, run=_new_run())
        expires = expiry(self.ttl if control.done else self.ttl and self.ttl * LONGER)
        body = msgspec.json.encode({"control": control, "run": control.run, "expires": expires})
        version = self._over if snapshot.version is None else snapshot.version.version
        write = writing(self._record, body, version)
        items = self._client.bulk([*before, write, *after], self._routing)
        written = items[len(before)]
        if not written.done:
            self._memory.snapshots.pop(self.name)
            return None
        self._last = self._noted(Snapshot(control, Stored(written.version, expires)))
        return Replaced(self._last, items[-1])

    def _arrive(self, visit: Visit, control: Control) -> Snapshot | None:
        """Record and count in a remembered run, which may be over; None if it is."""
        counter, record = reading(self._counter(control)), reading(self._record)
        items = self._recorded(visit, control, record) or self._do([counter, record])
        snapshot = self._found(items[-1].document())._replace(arrived=items[-2].count)
        if not snapshot.control.done and snapshot.control.run != control.run:
            self.forget(visit)
            return None
        if snapshot.open and visit.arrives and snapshot.version.ends_within(self.ttl):
            renewed = self._replace(snapshot, snapshot.control)
            return renewed and renewed.snapshot._replace(arrived=snapshot.arrived)
        return snapshot

    def _recorded(self, visit: Visit, control: Control, record: Action) -> list[Item]:
        """Create the value, count it and read the record; empty if that was done before."""
        value = self._value(control, visit.part.place, visit.part.member)
        if visit.value is None or value in self._written:
            return []
        part = f"{visit.part.place}:{visit.part.member}"
        body = encode(visit.value, self.ttl, run=control.run, part=part, as_text=self._as_text)
        lives = expiry(payload_ttl(self.ttl))
        number = msgspec.json.encode({"run": control.run, "expires": lives})
        count = Action("index", self._counter(control), number)
        self._written = [value, count.id]
        items = self._do([Action("create", value, body), count, record])
        if not items[0].done and self._is_gone(value):
            # The value has expired, or was removed: read the record again, after the value.
            items = self._do([Action("index", value, body), reading(count.id), record])
        return items

    def _is_gone(self, value: str) -> bool:
        """True if the part's first value has expired or was removed."""
        document = self._client.get(value, self._routing)
        return document is None or not document.source.is_alive()

    def _search(self, control: Control) -> list[Listed]:
        """All parts that were confirmed before this call, by a refresh and a search."""
        index = self._client.index
        index.refresh()
        parts = [{"term": {"run": control.run}}, {"exists": {"field": "part"}}]
        query = {"bool": {"filter": parts}}
        listed: list[str] = []
        more: dict[str, object] = {"sort": ["part"], "stored_fields": "_none_"}
        while hits := index.search(query, routing=self._routing, **more):
            listed += (hit.sort[0] for hit in hits)
            if len(hits) < PAGE:
                break
            more["search_after"] = listed[-1:]
        split = (text.partition(":") for text in listed)
        return [(int(place), member) for place, _, member in split]

    def _delete(self, ids: list[str]) -> None:
        self._do([Action("delete", each) for each in ids])

    def _do(self, actions: list[Action]) -> list[Item]:
        return self._client.bulk(actions, self._routing)

    def _id(self, name: str) -> str:
        return id_of(f"{self.name}.{name}")

    def _counter(self, control: Control) -> str:
        return self._id(f"{control.run}.n")

    def _payload_id(self, control: Control) -> str:
        return self._id(f"{control.run}.a")

    def _value(self, control: Control, place: int, member: str) -> str:
        return self._id(f"{control.run}.v{place}:{member}")


def _claim(control: Control) -> str:
    return f"{control.run} {control.claim.delivery}" if control.claim else ""


def _value(document: Document | None) -> bytes:
    """The payload in its document."""
    return document.source.value() if document and document.source.is_alive() else b""


def _new_run() -> str:
    return uuid.uuid4().hex[:12]
