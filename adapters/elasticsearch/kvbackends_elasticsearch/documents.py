"""What is stored: Celery's document, ``{result, @timestamp}``, with fields of our own beside it."""

import hashlib
import json
import math
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

LONGEST_ID = 512
"""Bytes: more are refused by the server."""
LARGEST = 75_000_000
"""Bytes.  In base64 they fit into 100 MB, the server's ``http.max_content_length``."""
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
"""The mapping of our own fields.  What is not ``enabled`` is kept, and not looked into."""
CELERYS_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "@timestamp": {"type": "date"},
    # Text and objects alike, for those who change `elasticsearch_save_meta_as_text`.
    "result": {"type": "object", "enabled": False},
}

Version = tuple[int, int]
"""``_seq_no`` and ``_primary_term``: each write of a document has others, and they never return."""


class Source(msgspec.Struct):
    """The fields of a stored document that are read."""

    result: Any = None
    binary: str | None = None
    expires: float | None = None
    control: Any = None

    def is_alive(self) -> bool:
        """True if it has not expired, by this host's clock."""
        return self.expires is None or self.expires > time.time() * 1000

    def value(self) -> bytes:
        """The stored bytes."""
        if self.binary is not None:
            return b64decode(self.binary)
        if isinstance(self.result, str):
            return self.result.encode()
        return b"" if self.result is None else _from_object(self.result)


class Document(NamedTuple):
    """A document that exists, expired or not."""

    source: Source
    version: Version


def expiry(ttl: float | None) -> int | None:
    """Milliseconds since the epoch, rounded up: nothing dies early."""
    return None if ttl is None else math.ceil((time.time() + ttl) * 1000)


def encode(value: bytes, ttl: float | None, *, as_text: bool = True, **fields: Any) -> bytes:
    """The body of a document; `fields` are added to it."""
    if ttl is not None:
        fields["expires"] = expiry(ttl)
    body = _encode_json(_held(value, as_text=as_text) | fields)
    if len(body) > _LONGEST_BODY:  # letters that JSON escapes
        body = _encode_json(_as_binary(value) | fields)
    return body


def celerys(key: str, facets: Mapping[str, str]) -> dict[str, Any]:
    """What documents that Celery reads have beside the result."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    fields: dict[str, Any] = {"@timestamp": f"{now[:-6]}Z", "key": key}
    if facets:
        fields["facets"] = [facet(*each) for each in facets.items()]
    return fields


def id_of(name: str) -> str:
    """A document's id: the name, or a hash of one that is longer than the server takes."""
    data = name.encode()
    return name if len(data) <= LONGEST_ID else f"kvb-{hashlib.sha256(data).hexdigest()}"


def facet(name: str, value: str) -> str:
    """A searchable property as one word."""
    return f"{name}={value}"


_encode_json = msgspec.json.encode


def _held(value: bytes, *, as_text: bool) -> dict[str, Any]:
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
# Celery stores the record as an object then, with its result and its traceback encoded by
# themselves.

_ENCODED = ("result", "traceback")


def _as_object(value: bytes) -> dict[str, Any] | None:
    """The record as an object, if the same bytes can be made of it again."""
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
