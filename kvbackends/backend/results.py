"""The records of results: encoded once, and written by rank in one step."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import cached_property
from typing import Any, TypeVar

from celery import states
from celery.exceptions import BackendGetMetaError, BackendStoreError
from kombu.exceptions import DecodeError, EncodeError

from kvbackends.backend.books import Books
from kvbackends.backend.chords import Chords
from kvbackends.backend.compat import CeleryBackend, current_task, may_be_eager
from kvbackends.backend.encoding import (
    AT_ONCE,
    Clock,
    json_object,
    json_objects,
    json_record,
    json_successes,
    json_text,
    kombu_reads_json,
    kombu_writes_json,
)
from kvbackends.backend.fallback import Fallback
from kvbackends.backend.links import with_body
from kvbackends.backend.ranks import RANKS, Ranks, facets
from kvbackends.backend.shortening import shortened
from kvbackends.backend.times import Times
from kvbackends.backend.unpacking import packed, unpacked
from kvbackends.contract.records import Offer, Rank
from kvbackends.contract.store import Store
from kvbackends.errors import StoreUnavailable, ValueTooLarge

T = TypeVar("T")

prefetched: ContextVar[dict[str, Any] | None] = ContextVar("kvbackends_prefetched", default=None)
"""Records that were just read in one batch, for Celery's code that asks for each one singly."""

SHORTENED, SHORTEST = 1000, 100
"""Characters that a shortened message and traceback keep: at first, and if that is too large."""


class ResultTooLarge(EncodeError, ValueTooLarge):
    """The value is above the store's limit.

    An `EncodeError`, so that Celery fails the task on the path it has for values that cannot be
    stored, and the worker lives.
    """


class Results(CeleryBackend):
    """Writes and reads records.

    A header task's record is written together with its part: `Chords.finish` is asked first.
    """

    store: Store
    chords: Chords
    books: Books
    fallback: Fallback | None
    times: Times
    ranks: Ranks
    has_facets: bool
    extended: bool
    largest: int
    task_prefix: str
    _pending_results: Any
    _eagerness: tuple[Any, Callable[[], bool]] = (None, lambda: True)

    # -- keys ---------------------------------------------------------------------------------

    def key_of(self, task_id: str | bytes) -> str:
        """The text of Celery's `get_key_for_task`."""
        if type(task_id) is str and task_id:
            return self.task_prefix + task_id
        return text(self.get_key_for_task(task_id))

    def keys_of(self, task_ids: Iterable[Any]) -> dict[str, Any]:
        """The ids by their keys; each key once."""
        prefix = self.task_prefix
        return {
            prefix + each if type(each) is str and each else self.key_of(each): each
            for each in task_ids
        }

    # -- writing ------------------------------------------------------------------------------

    def store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Encode and store; without Celery's retries, which the retry layer replaces."""
        result = self.encode_result(result, state)
        self._store_result(task_id, result, state, traceback, request=request, **kwargs)
        return result

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        **_: Any,
    ) -> Any:
        """Store an encoded result."""
        meta = self._meta(task_id, result, state, traceback, request)
        try:
            try:
                self._write(meta, request)
            except (ValueTooLarge, EncodeError) as error:
                refitted(meta, lambda fitting: self._write(fitting, request), error)
        except StoreUnavailable as error:
            raise BackendStoreError(str(error), state=state, task_id=task_id) from error
        return result

    def _meta(
        self, task_id: str, result: Any, state: str, traceback: Any, request: Any
    ) -> dict[str, Any]:
        """The record, as Celery builds it (tests compare the two).

        Celery looks up settings for each record, which costs as much as storing it.
        """
        if self.extended:
            meta = with_body(self._get_result_meta(result, state, traceback, request), request)
        else:
            ready = state in self.READY_STATES
            meta = {
                "status": state,
                "result": result,
                "traceback": traceback,
                "children": self.current_task_children(request),
                "date_done": self._clock() if ready else None,
            }
            if group := getattr(request, "group", None):
                meta["group_id"] = group
            if parent := getattr(request, "parent_id", None):
                meta["parent_id"] = parent
        meta["task_id"] = task_id if type(task_id) is str else text(task_id)
        return meta

    @cached_property
    def _clock(self) -> Clock:
        """In the app's time zone, which Celery looks up each time."""
        return Clock(self.app.timezone)

    def encoded_part(self, request: Any, state: str, result: Any, use: Callable[[bytes], T]) -> T:
        """`use` of a task's encoded record; a failure is shortened if `use` refuses its size."""
        meta = self._meta(request.id, self.encode_result(result, state), state, None, request)
        try:
            return use(self._payload(meta))
        except (ValueTooLarge, EncodeError) as error:
            return refitted(meta, lambda fitting: use(self._payload(fitting)), error)

    def _write(self, meta: dict[str, Any], request: Any) -> None:
        offer = self._offer_of(meta, request)
        if not (getattr(request, "chord", None) and self.chords.finish(offer, request)):
            self.store.offer(offer, self.ranks.rank_of)

    def _offer_of(self, meta: dict[str, Any], request: Any) -> Offer:
        state, task_id = meta["status"], meta["task_id"]
        return Offer(  # by position, which costs half
            self.task_prefix + task_id if task_id else self.key_of(task_id),
            self._payload(meta),
            RANKS.get(state, Rank.UNREADY),
            self.times.failure if state == states.FAILURE else self.times.result,
            facets(meta, request) if self.has_facets else {},
            # Only STARTED.  RETRY is the last record of its run, so waiting for the answer later
            # costs as much; another process may be told to read a custom state right afterwards.
            state == states.STARTED and current_task() is not None,
        )

    def _payload(self, meta: dict[str, Any]) -> bytes:
        own = type(self).encode is Results.encode and self._writes_json()
        written = json_record(meta) if own else None
        if written is not None:
            return written
        encoded = self.encode(meta)
        return encoded.encode() if isinstance(encoded, str) else bytes(encoded)

    def encode(self, data: Any) -> Any:
        """As Celery does; JSON without kombu's detours."""
        if self._writes_json():
            try:
                return json_text(data)
            except Exception:  # noqa: BLE001 - Celery raises the right error
                return super().encode(data)
        if getattr(self, "compression", None):
            return packed(self._encode(data)[2], self.compression, self.largest)
        return super().encode(data)

    def _writes_json(self) -> bool:
        compressed = getattr(self, "compression", None)  # Celery 5.6 has none
        return self.serializer == "json" and not compressed and kombu_writes_json()

    # -- reading ------------------------------------------------------------------------------

    def decode(self, payload: Any) -> Any:
        """As Celery does, up to a size; JSON without kombu's detours, which cost as much again."""
        value = json_object(payload) if self._reads_json() else None
        return super().decode(unpacked(payload, self.largest)) if value is None else value

    def decode_result(self, payload: Any) -> Any:
        """The record that is stored as `payload`; raises `DecodeError` if it is none."""
        meta = self.decode(payload)
        if type(meta) is not dict or type(meta.get("status")) is not str or "result" not in meta:
            raise DecodeError(NO_RECORD)
        return self.meta_from_decoded(meta)

    def decoded(self, payloads: Sequence[bytes]) -> Iterator[Any]:
        """`decode_result` of many records, `AT_ONCE` at a time where all are plain."""
        reads_json, exceptions = self._reads_json(), self.EXCEPTION_STATES
        for start in range(0, len(payloads), AT_ONCE):
            some = payloads[start : start + AT_ONCE]
            metas = json_objects(some) if reads_json else None
            if metas is None:
                yield from map(self.decode_result, some)
                continue
            for meta in metas:
                if type(meta.get("status")) is not str or "result" not in meta:
                    raise DecodeError(NO_RECORD)
                yield self.meta_from_decoded(meta) if meta["status"] in exceptions else meta

    def successes(self, payloads: Sequence[bytes]) -> list[Any] | None:
        """The results of records that are all successes in plain JSON; else None."""
        return json_successes(payloads) if self._reads_json() else None

    def _reads_json(self) -> bool:
        accept = self.accept
        return (
            self.content_type == "application/json"
            and self.content_encoding == "utf-8"
            and accept is not None
            and self.content_type in accept
            and kombu_reads_json()
        )

    def _ensure_not_eager(self) -> None:
        """Warn as Celery does, without its look-up of the setting."""
        conf = self.app.conf
        known, may_be = self._eagerness
        if known is not conf:
            may_be = may_be_eager(conf)
            self._eagerness = conf, may_be
        if may_be():
            super()._ensure_not_eager()

    def _get_task_meta_for(self, task_id: str) -> Any:
        known = prefetched.get()
        if known is not None and task_id in known:
            return known[task_id]
        try:
            entry = self.store.get(self.key_of(task_id))
            if entry is None:
                return (self.fallback and self.fallback.record(text(task_id))) or dict(PENDING)
        except StoreUnavailable as error:
            raise BackendGetMetaError(str(error), task_id=task_id) from error
        return self.decode_result(entry.value)

    def _restore_group(self, group_id: str) -> Any:
        meta = super()._restore_group(group_id)
        return self.fallback.group(group_id) if self.fallback and not meta else meta


def text(key: str | bytes) -> str:
    """A key as text; Celery's own keys are bytes."""
    if type(key) is str:
        return key
    return key.decode() if isinstance(key, bytes) else str(key)


def refitted(meta: dict[str, Any], use: Callable[[dict[str, Any]], T], error: Exception) -> T:
    """`use` of a shorter record of a failure, after `use` refused the whole one with `error`.

    For a success raises `error` as an `EncodeError`, which Celery knows.
    """
    if RANKS.get(meta["status"]) is not Rank.FAILED:
        raise error if isinstance(error, EncodeError) else ResultTooLarge(str(error)) from error
    with suppress(ValueTooLarge):
        return use(shortened(meta, SHORTENED))
    return use(shortened(meta, SHORTEST))


NO_RECORD = "what is stored is not a result: it has no status, or no value"
PENDING = {"status": states.PENDING, "result": None}
