"""Shows the chords in flight, dispatches complete ones and gives up others."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from kvbackends.admin.records import ChordInfo, Holder, MissingPart
from kvbackends.admin.results import Results, listed
from kvbackends.backend import payload
from kvbackends.backend.abandoning import abandon
from kvbackends.backend.backend import BaseKeyValueStoreBackend
from kvbackends.backend.deliveries import started_at
from kvbackends.contract.derived import get_many
from kvbackends.contract.records import BarrierState, Outcome
from kvbackends.errors import StoreError


class Chords:
    """The chords of one backend.

    Args:
        backend: The backend whose store has them.
        results: Tells the names and states of missing parts.
    """

    def __init__(self, backend: BaseKeyValueStoreBackend, results: Results) -> None:
        self._backend = backend
        self._results = results

    def each(self) -> Iterator[ChordInfo]:
        """Each chord in flight, without names and states of its missing parts.

        Raises `NotSupported` where the store cannot list.
        """
        prefix = self._backend.chord_prefix
        store = self._backend.store
        for name in listed(self._backend, lambda: store.barriers(prefix)):
            state = store.barrier(name).state()
            if state is not None:
                yield self._info(name.removeprefix(prefix), state)

    def one(self, group_id: str) -> ChordInfo | None:
        """One chord with all that is known of its missing parts; None: it is not in flight."""
        state = self._barrier(group_id).state()
        return None if state is None else self._info(group_id, state, with_records=True)

    def dispatch(self, group_id: str) -> Outcome:
        """Dispatch the chord if it is complete; waits for the lease of a claim that is held."""
        return self._backend.chords.recover(group_id, may_wait=True)

    def abandon(self, group_id: str, reason: str) -> bool:
        """Fail the chord's body, and call its errbacks; False if the chord is not in flight.

        Raises `StoreError` where its body cannot be read here.
        """
        state = self._barrier(group_id).state()
        if state is None:
            return False
        known = payload.decode(self._backend.app, state.payload)
        if known.body is None:
            raise StoreError(f"the body of the chord {group_id} is not kept: it cannot be failed")
        abandon(self._backend.chords, group_id, state.payload, reason)
        return True

    def _barrier(self, group_id: str) -> Any:
        return self._backend.store.barrier(self._backend.chord_prefix + group_id)

    def _info(self, group_id: str, state: BarrierState, *, with_records: bool = False) -> ChordInfo:
        known, opened = self._payload(state)
        body = known.body or {}
        missing = _missing(state, known.header)
        return ChordInfo(
            id=group_id,
            body=(body.get("options") or {}).get("task_id") or "",
            body_task=body.get("task") or "",
            age=max(time.time() - opened, 0.0) if opened else None,
            done=state.done,
            total=state.total,
            missing=self._parts(missing) if with_records else _bare(missing),
            holder=_holder(state),
        )

    def _payload(self, state: BarrierState) -> tuple[payload.Payload, float]:
        opened = payload.opened(state.payload)
        try:
            return payload.decode(self._backend.app, state.payload), opened
        except Exception:  # noqa: BLE001 - an encoding that the app does not accept
            return payload.Payload(), opened

    def _parts(self, ids: Sequence[str]) -> list[MissingPart]:
        keys = self._backend.keys_of(ids)
        found = {
            keys[key]: self._results.info(keys[key], value)
            for key, value in get_many(self._backend.store, keys)
        }
        return [
            MissingPart(each, found[each].task, found[each].state) if each in found else bare
            for each, bare in zip(ids, _bare(ids), strict=True)
        ]


def _bare(ids: Sequence[str]) -> list[MissingPart]:
    return [MissingPart(each, "", "PENDING") for each in ids]


def _missing(state: BarrierState, header: payload.Tree | None) -> list[str]:
    """The ids of the parts that have not arrived: of the header, then of added slots."""
    arrived = {member for _, member in state.arrived}
    added = [names[-1] for names in state.slots.values() if arrived.isdisjoint(names)]
    if state.holder is not None:
        return []
    return [each for each in payload.ids(header or []) if each not in arrived] + added


def _holder(state: BarrierState) -> Holder | None:
    if state.holder is None:
        return None
    since = started_at(state.holder.delivery)
    seconds = None if since is None else max(time.time() - since, 0.0)
    return Holder(state.holder.member, state.holder.delivery, seconds)
