"""Storing one result: encoded once, ranked, in one step."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import ContextVar
from functools import cached_property
from typing import Any, TypeVar

from celery import states

from kvbackends.backend.base import Base, text
from kvbackends.backend.compat import (
    BackendGetMetaError,
    BackendStoreError,
    EncodeError,
    current_task,
    json_object,
    json_objects,
    json_record,
    json_successes,
    json_text,
    kombu_reads_json,
    kombu_writes_json,
    may_be_eager,
)
from kvbackends.backend.ranks import facets, rank_of_state
from kvbackends.backend.times import Clock
from kvbackends.contract.records import Offer, Rank
from kvbackends.errors import StoreUnavailable, ValueTooLarge

T = TypeVar("T")

prefetched: ContextVar[dict[str, Any] | None] = ContextVar("kvbackends_prefetched", default=None)
"""Records that were read a moment ago, for Celery's code that asks for each one again."""

AT_ONCE = 100
"""Records that are decoded at once: fewer than those after which Python looks for cycles."""
_SHORTER = (1000, 100)
"""Characters that a shortened message keeps, and a shortened traceback; one after the other."""
_PARTS = 10
"""Arguments of an exception that a shortened message keeps."""


class ResultTooLarge(EncodeError, ValueTooLarge):
    """The value is above the store's limit.

    An `EncodeError`, so that Celery fails the task on the path it has for values that cannot be
    stored, and the worker lives.
    """


class Results(Base):
    """How a record is written and read."""

    _eagerness: tuple[Any, Callable[[], bool]] = (None, lambda: True)

    def store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Celery's, without its retries, which are the retry layer's: they cost a tenth of it."""
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
        """Called by `store_result` with an encoded result."""
        meta = self._meta(task_id, result, state, traceback, request)
        try:
            try:
                self._write(meta, request)
            except (ValueTooLarge, EncodeError) as error:
                self._refitted(meta, lambda fitting: self._write(fitting, request), error)
        except StoreUnavailable as error:
            raise BackendStoreError(str(error), state=state, task_id=task_id) from error
        return result

    def _meta(
        self, task_id: str, result: Any, state: str, traceback: Any, request: Any
    ) -> dict[str, Any]:
        """The record, as Celery writes it; tests compare it with Celery's own.

        Celery builds it too, but looks up settings each time, which costs as much as storing it.
        """
        meta: dict[str, Any]
        if self.extended:
            meta = self._get_result_meta(result, state, traceback, request)
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
        """In the app's time zone, which it looks up each time."""
        return Clock(self.app.timezone)

    def _fitting(self, meta: dict[str, Any], use: Callable[[dict[str, Any]], T]) -> T:
        """What `use` makes of the record; that of a failure is shortened where it does not fit."""
        try:
            return use(meta)
        except (ValueTooLarge, EncodeError) as error:
            return self._refitted(meta, use, error)

    def _refitted(
        self, meta: dict[str, Any], use: Callable[[dict[str, Any]], T], error: Exception
    ) -> T:
        """The record was refused with this error."""
        if rank_of_state(meta["status"]) is not Rank.FAILED:
            raise as_encode_error(error) from error
        for longest in _SHORTER[:-1]:
            with suppress(ValueTooLarge):
                return use(shortened(meta, longest))
        return use(shortened(meta, _SHORTER[-1]))

    def _write(self, meta: dict[str, Any], request: Any) -> None:
        offer = self._offer_of(meta, request)
        if not self._finish_part(offer, request):
            self.store.offer(offer, self.ranks.rank_of)

    def _offer_of(self, meta: dict[str, Any], request: Any) -> Offer:
        state = meta["status"]
        return Offer(  # by position, which costs half
            self.key_of(meta["task_id"]),
            self._payload(meta),
            rank_of_state(state),
            self.times.of_state(state),
            facets(meta, request) if self.has_facets else {},
            # Not RETRY: it is the last that its task stores, so its answer would be waited for
            # just as long.  Not other states: who stores them may go on to tell somebody to look.
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
        """As Celery does; JSON is encoded at once."""
        if self._writes_json():
            try:
                return json_text(data)
            except Exception:  # noqa: BLE001 - Celery says what is wrong
                return super().encode(data)
        return super().encode(data)

    def _writes_json(self) -> bool:
        compressed = getattr(self, "compression", None)  # Celery 5.6 has none
        return self.serializer == "json" and not compressed and kombu_writes_json()

    def decode(self, payload: Any) -> Any:
        """As Celery does; JSON is decoded at once, since what leads there costs as much again."""
        value = json_object(payload) if self._reads_json() else None
        return super().decode(payload) if value is None else value

    def decoded(self, payloads: Sequence[bytes]) -> Iterator[Any]:
        """`decode_result` for many records, some at once; one by one where one is odd."""
        reads_json, exceptions = self._reads_json(), self.EXCEPTION_STATES
        for start in range(0, len(payloads), AT_ONCE):
            some = payloads[start : start + AT_ONCE]
            metas = json_objects(some) if reads_json else None
            if metas is None:
                yield from map(self.decode_result, some)
                continue
            for meta in metas:
                yield self.meta_from_decoded(meta) if meta["status"] in exceptions else meta

    def successes(self, payloads: Sequence[bytes]) -> list[Any] | None:
        """The results of many records that are successes in JSON; None: look at each."""
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
        """Warn as Celery does, which looks up the setting each time."""
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
        except StoreUnavailable as error:
            raise BackendGetMetaError(str(error), task_id=task_id) from error
        return dict(PENDING) if entry is None else self.decode_result(entry.value)


def as_encode_error(error: Exception) -> Exception:
    """The same error, as one that Celery knows."""
    return error if isinstance(error, EncodeError) else ResultTooLarge(str(error))


def shortened(meta: dict[str, Any], longest: int) -> dict[str, Any]:
    """The record of a failure without what may be large: arguments, traceback, long messages."""
    result = meta["result"]
    if isinstance(result, dict):
        parts = list(result.get("exc_message") or ())[:_PARTS]
        message = [cut(str(part), longest // len(parts)) for part in parts]
        result = {**result, "exc_message": message}
    elif isinstance(result, BaseException):  # the pickle serializer keeps exceptions
        result = RuntimeError(cut(f"{type(result).__name__}: {result}", longest))
    traceback = meta["traceback"] and f"… {meta['traceback'][-longest:]}"
    kept = {**meta, "result": result, "traceback": traceback, "children": []}
    return {name: value for name, value in kept.items() if name not in ("args", "kwargs")}


def cut(text: str, longest: int) -> str:
    """The beginning of a long text."""
    return text if len(text) <= longest else f"{text[:longest]} …"


def new_delivery() -> str:
    """A fresh random id for one run of a message."""
    return os.urandom(16).hex()


PENDING = {"status": states.PENDING, "result": None}
