"""Shortens the record of a failure that a store refuses because of its size."""

from typing import Any

_PARTS = 10
"""Arguments of an exception that a shortened message keeps."""


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
