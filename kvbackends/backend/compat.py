"""Every name of Celery's that is not documented, and what differs between its versions.

Each has a test that fails when the name is gone (`tests/backend/test_compat.py`).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from json import JSONDecoder
from json.encoder import c_make_encoder, encode_basestring_ascii  # type: ignore[attr-defined]
from typing import Any, Literal

import msgspec
from celery._state import get_current_task
from celery.app.task import Context
from celery.app.utils import Settings
from celery.backends.base import BaseKeyValueStoreBackend as CeleryBackend
from celery.backends.base import _nulldict as NoCache  # noqa: N812 - a class
from celery.exceptions import (
    BackendGetMetaError,
    BackendStoreError,
    ChordError,
    ImproperlyConfigured,
    Reject,
    SoftTimeLimitExceeded,
)
from celery.exceptions import (
    TimeoutError as ResultTimeout,
)
from celery.utils import functional
from kombu import serialization
from kombu.exceptions import EncodeError
from kombu.utils import json as kombu_json

LazyTasks = functional._regen
"""A header that was given as a generator: looking at it would exhaust it."""

__all__ = [
    "FAILS_AFTER_CHORD",
    "BackendGetMetaError",
    "BackendStoreError",
    "CeleryBackend",
    "ChordError",
    "Context",
    "EncodeError",
    "ImproperlyConfigured",
    "LazyTasks",
    "NoCache",
    "Reject",
    "ResultTimeout",
    "SoftTimeLimitExceeded",
    "current_request",
    "current_task",
    "json_object",
    "json_objects",
    "json_record",
    "json_successes",
    "json_text",
    "kombu_reads_json",
    "kombu_writes_json",
    "may_be_eager",
    "publish",
    "request_of_signature",
]


FAILS_AFTER_CHORD = hasattr(CeleryBackend, "_fail_chain")
"""Celery 5.7 itself fails what is chained after a chord that failed."""


class Success(msgspec.Struct):
    """What a chord needs of its parts' records; the rest is passed over."""

    status: Literal["SUCCESS"]
    result: Any


_hooked: Any = JSONDecoder(object_hook=kombu_json.object_hook)
_objects = msgspec.json.Decoder(dict[str, Any])
"""Four times as fast.  It refuses what only Python reads: no numbers, halves of surrogate pairs."""
_successes = msgspec.json.Decoder(Success)
_NOT_FOR_HOOK = {str, int, float, bool, type(None)}
_hidden = re.compile(rb"\\u00(?:5[Ff]|65|7[049])").search
"""Finds letters of the key that the hook looks for, "__type__", where they are written so."""


def json_object(payload: Any) -> Any:
    """What kombu makes of an object in JSON and UTF-8; None where kombu has to say it itself."""
    if type(payload) is not bytes:
        return None
    if _is_for_hook(payload):
        return _hooked_object(payload)
    try:
        return _objects.decode(payload)
    except Exception:  # noqa: BLE001 - the other decoder may take it, or kombu says what is wrong
        return _hooked_object(payload)


def json_objects(payloads: Iterable[bytes]) -> list[dict[str, Any]] | None:
    """The same of many, in half the time for each; None where it has to be one by one."""
    try:
        if _is_for_hook(b"".join(payloads)):
            return None
        return list(map(_objects.decode, payloads))
    except Exception:  # noqa: BLE001 - which one it is will be seen
        return None


def json_successes(payloads: Iterable[bytes]) -> list[Any] | None:
    """The results of records that are successes; None where one is another, or is odd."""
    try:
        values = [each.result for each in map(_successes.decode, payloads)]
        plain = _NOT_FOR_HOOK.issuperset(map(type, values)) or not _is_for_hook(b"".join(payloads))
    except Exception:  # noqa: BLE001 - which one it is will be seen
        return None
    return values if plain else None


def _is_for_hook(data: bytes) -> bool:
    return b"__type__" in data or (b"\\" in data and _hidden(data) is not None)


def _hooked_object(payload: bytes) -> Any:
    try:
        text = payload.decode()
        value, end = _hooked.scan_once(text, 0)
    except Exception:  # noqa: BLE001 - kombu says what is wrong
        return None
    return value if text.startswith("{") and end == len(text) else None


def kombu_reads_json() -> bool:
    """True while nobody has registered another decoder for JSON."""
    decoder = serialization.registry._decoders.get("application/json")
    return decoder is not None and decoder is kombu_json.loads


def json_text(data: Any) -> str:
    """What kombu's encoder writes, in one piece; what refers to itself ends in a RecursionError."""
    return "".join(_pieces(data, 0))


_write: Any = msgspec.json.Encoder().encode
_SIMPLE = frozenset({str, int, bool, type(None), list})
"""What both write alike, where texts are ASCII, and lists are empty."""


def json_record(meta: Mapping[str, Any]) -> bytes | None:
    """The same as `json_text`, encoded, of a record whose result is simple; None where it is not.

    A character costs it a twentieth of what it costs the other.
    """
    if meta["children"] or type(meta["result"]) is list:
        return None
    if not _SIMPLE.issuperset(map(type, meta.values())):
        return None
    try:
        written: bytes = msgspec.json.format(_write(meta), indent=0)  # with blanks, as kombu has
    except Exception:  # noqa: BLE001 - kombu says what is wrong
        return None
    # kombu escapes DEL, and everything above it.
    return written if written.isascii() and b"\x7f" not in written else None


def _encoding() -> Callable[[Any, int], Iterable[str]]:
    """The encoder in C, made once: `json.JSONEncoder.encode` makes one for each object."""
    encoder = kombu_json.JSONEncoder(check_circular=False)
    if c_make_encoder is None:
        return lambda data, _: (encoder.encode(data),)
    separators = encoder.key_separator, encoder.item_separator
    flags = encoder.sort_keys, encoder.skipkeys, encoder.allow_nan
    made: Callable[[Any, int], Iterable[str]] = c_make_encoder(
        None, encoder.default, encode_basestring_ascii, None, *separators, *flags
    )
    return made


_pieces = _encoding()


def kombu_writes_json() -> bool:
    """True while nobody has registered another encoder for JSON."""
    codec = serialization.registry._encoders.get("json")
    return codec is not None and codec.encoder is kombu_json.dumps


def may_be_eager(conf: Any) -> Callable[[], bool]:
    """Tells whether some of the settings say ``task_always_eager``, or it cannot be told.

    Celery's own look-up of a setting costs as much as decoding two records.
    """
    if not isinstance(conf, Settings) or conf.key_t is not None:
        return lambda: True
    maps, names = conf.maps, conf._to_keys("task_always_eager")

    def told() -> bool:
        for values in maps:
            for name in names:
                if values.get(name):
                    return True
        return False

    return told


def current_task() -> Any:
    """The task that this thread is running, or None in clients and a worker's main process."""
    return get_current_task()


def current_request() -> Any:
    """The request of the running task, or None."""
    task = get_current_task()
    return task and task.request


def publish(app: Any, send: Callable[..., Any], *args: Any) -> None:
    """Send a message from a callback; Celery 5.7 waits between the retries of such messages."""
    retry_publish = getattr(app.amqp, "_retry_publish", None)
    if retry_publish is None:
        send(*args)
    else:
        retry_publish(send, *args)


def request_of_signature(signature: Mapping[str, Any]) -> Any:
    """A request for a task that never runs, made of its signature."""
    context = Context(dict(signature))
    options = signature.get("options") or {}
    context.update(options)
    context.id = options.get("task_id")
    context.group = options.get("group_id")
    return context
