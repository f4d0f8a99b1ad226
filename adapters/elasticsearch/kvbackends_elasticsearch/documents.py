"""The documents: Celery's ``{result, @timestamp}`` with additional fields."""

import hashlib
import json
import math
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from kvbackends import StoreError

LONGEST_ID = 512
"""The server's limit for an id, in bytes."""
LARGEST = 75_000_000
"""Bytes of a value.  In base64 they fit into 100 MB, the server's ``http.max_content_length``."""
_LONGEST_BODY = 100_000_000

FIELDS: Mapping[str, Mapping[str, Any]] = {
    "key": {"type": "keyword", "ignore_above": 512},
    "expires": {"type": "date", "format": "epoch_millis"},
    "facets": {"type": "keyword", "ignore_above": 4096},
    "run": {"type": "keyword"},
    "part": {"type": "keyword", "index": False},
    "binary": {"type": "object", "enabled": False},
    "control": {"type": "object", "enabled": False},
}
"""The mapping of the additional fields.  A field that is not ``enabled`` is stored, not indexed."""
CELERYS_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "@timestamp": {"type": "date"},
    # Accepts text and objects, so that `elasticsearch_save_meta_as_text` may change.
    "result": {"type": "object", "enabled": False},
}

Version = tuple[int, int]
"""``_seq_no`` and ``_primary_term``: every write sets new ones, and they never repeat."""


class Source(msgspec.Struct):
    """The fields of a stored document that the adapter reads."""

    # Of any type: one document that another program has written must not fail a whole batch.
    result: Any = None
    binary: Any = None
    expires: Any = None
    control: Any = None

    def is_alive(self) -> bool:
        """True unless it has expired by this host's clock."""
        expires = self.expires
        return not isinstance(expires, int | float) or expires > time.time() * 1000

    def value(self) -> bytes:
        """The stored bytes; raises `StoreError` if another program has written others."""
        try:
            if self.binary is not None:
                return b64decode(self.binary)
            if isinstance(self.result, str):
                return self.result.encode()
            return b"" if self.result is None else _from_object(self.result)
        except (AttributeError, TypeError, ValueError) as error:
            raise StoreError(
                f"a document was written by another program: its value is unreadable ({error})"
            ) from error


class Document(NamedTuple):
    """A document that exists; it may have expired."""

    source: Source
    version: Version


def expiry(ttl: float | None) -> int | None:
    """The time of expiry in milliseconds since 1970, rounded up; None is for ever."""
    return None if ttl is None else math.ceil((time.time() + ttl) * 1000)


def encode(value: bytes, ttl: float | None, *, as_text: bool = True, **fields: Any) -> bytes:
    """The JSON of a document with this value, time to live and additional `fields`."""
    if ttl is not None:
        fields["expires"] = expiry(ttl)
    body = _encode_json(_value_fields(value, as_text=as_text) | fields)
    if len(body) > _LONGEST_BODY:  # JSON escapes made it longer than base64
        body = _encode_json(_as_binary(value) | fields)
    return body


def celerys(key: str, facets: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a result or a plain key beside its value."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    fields: dict[str, Any] = {"@timestamp": f"{now[:-6]}Z", "key": key}
    if facets:
        fields["facets"] = [facet(*each) for each in facets.items()]
    return fields


def id_of(name: str) -> str:
    """A document's id: the name, or its hash if it is above the server's limit."""
    data = name.encode()
    return name if len(data) <= LONGEST_ID else f"kvb-{hashlib.sha256(data).hexdigest()}"


def facet(name: str, value: str) -> str:
    """A facet as one searchable word."""
    return f"{name}={value}"


def has_facets(record: bytes, facets: Mapping[str, str]) -> bool:
    """True if the task's record is JSON, and has these facets in its fields."""
    try:
        found = _decode_record(record)
    except msgspec.MsgspecError:
        return False
    have = {"state": found.status, "task": found.name, "worker": found.worker}
    return all(have.get(name) == value for name, value in facets.items())


class _Record(msgspec.Struct):
    status: Any = None
    name: Any = None
    worker: Any = None


_decode_record = msgspec.json.Decoder(_Record).decode
_encode_json = msgspec.json.encode


def _value_fields(value: bytes, *, as_text: bool) -> dict[str, Any]:
    if not as_text:
        found = _as_object(value)
        return _as_binary(value) if found is None else {"result": found}
    try:
        return {"result": value.decode()}
    except UnicodeDecodeError:
        return _as_binary(value)


def _as_binary(value: bytes) -> dict[str, Any]:
    return {"binary": b64encode(value).decode()}


# -- elasticsearch_save_meta_as_text = False ------------------------------------------------------
# Celery then stores the record as an object, in which result and traceback are JSON texts.

_ENCODED = ("result", "traceback")


def _as_object(value: bytes) -> dict[str, Any] | None:
    """The record as Celery's object; None if that would not give the same bytes back."""
    try:
        record = json.loads(value)
    except ValueError:
        return None
    if not isinstance(record, dict) or "result" not in record:
        return None
    encoded = {name: json.dumps(record[name]) for name in _ENCODED if record.get(name)}
    return record | encoded if _from_object(record | encoded) == value else None


def _from_object(record: Any) -> bytes:
    encoded = {name: record[name] for name in _ENCODED if isinstance(record.get(name), str)}
    decoded = {name: json.loads(text) for name, text in encoded.items() if text}
    return json.dumps(record | decoded).encode()
