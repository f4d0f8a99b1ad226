"""Storing one result: encoded once, ranked, in one step."""

import uuid
from contextvars import ContextVar
from typing import Any

from celery import states

from kvbackends.backend.base import Base, text
from kvbackends.backend.compat import BackendGetMetaError, BackendStoreError, EncodeError
from kvbackends.backend.records import facets, rank_of_state
from kvbackends.errors import StoreUnavailable, ValueTooLarge
from kvbackends.records import Offer, Rank

prefetched: ContextVar[dict[str, Any] | None] = ContextVar("kvbackends_prefetched", default=None)
"""Records that were read a moment ago, for Celery's code that asks for each one again."""

_SHORT = 1000
"""Characters that a shortened message or traceback keeps."""


class ResultTooLarge(EncodeError, ValueTooLarge):
    """The value is above the store's limit.

    An `EncodeError`, so that Celery fails the task on the path it has for values that cannot be
    stored, and the worker lives.
    """


class Results(Base):
    """How a record is written and read."""

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        **_: Any,
    ) -> Any:
        """Called by Celery's `store_result` with an encoded result."""
        meta = self._meta(task_id, result, state, traceback, request)
        try:
            self._write_fitting(meta, request)
        except StoreUnavailable as error:
            raise BackendStoreError(str(error), state=state, task_id=task_id) from error
        return result

    def _meta(
        self, task_id: str, result: Any, state: str, traceback: Any, request: Any
    ) -> dict[str, Any]:
        meta: dict[str, Any] = self._get_result_meta(
            result=result, state=state, traceback=traceback, request=request
        )
        meta["task_id"] = text(task_id)
        return meta

    def _write_fitting(self, meta: dict[str, Any], request: Any) -> None:
        """Write; the record of a failure is shortened where it does not fit."""
        try:
            self._write(meta, request)
        except (ValueTooLarge, EncodeError) as error:
            if rank_of_state(meta["status"]) is not Rank.FAILED:
                raise as_encode_error(error) from error
            self._write(shortened(meta), request)

    def _write(self, meta: dict[str, Any], request: Any) -> None:
        offer = self._offer_of(meta, request)
        if not self._finish_part(offer, request):
            self.store.offer(offer, self.ranks.rank_of)

    def _offer_of(self, meta: dict[str, Any], request: Any) -> Offer:
        state = meta["status"]
        return Offer(
            key=text(self.get_key_for_task(meta["task_id"])),
            value=self._payload(meta),
            rank=rank_of_state(state),
            ttl=self.times.of_state(state),
            facets=facets(meta, request) if self.has_facets else {},
        )

    def _payload(self, meta: dict[str, Any]) -> bytes:
        encoded = self.encode(meta)
        return encoded.encode() if isinstance(encoded, str) else bytes(encoded)

    def _get_task_meta_for(self, task_id: str) -> Any:
        known = prefetched.get()
        if known is not None and task_id in known:
            return known[task_id]
        try:
            return super()._get_task_meta_for(task_id)
        except StoreUnavailable as error:
            raise BackendGetMetaError(str(error), task_id=task_id) from error


def as_encode_error(error: Exception) -> Exception:
    """The same error, as one that Celery knows."""
    return error if isinstance(error, EncodeError) else ResultTooLarge(str(error))


def shortened(meta: dict[str, Any]) -> dict[str, Any]:
    """The record of a failure without what may be large: arguments, traceback, long messages."""
    result = meta["result"]
    if isinstance(result, dict):
        message = [cut(str(part)) for part in result.get("exc_message") or ()]
        result = {**result, "exc_message": message}
    elif isinstance(result, BaseException):  # the pickle serializer keeps exceptions
        result = RuntimeError(f"{type(result).__name__}: {cut(str(result))}")
    kept = {**meta, "result": result, "traceback": cut(meta["traceback"]), "children": []}
    return {name: value for name, value in kept.items() if name not in ("args", "kwargs")}


def cut(text: str | None) -> str | None:
    """The end of a long text, which tells the most of a traceback."""
    return text if text is None or len(text) <= _SHORT else f"… {text[-_SHORT:]}"


def new_delivery() -> str:
    """A fresh random id for one run of a message."""
    return uuid.uuid4().hex


PENDING = {"status": states.PENDING, "result": None}
