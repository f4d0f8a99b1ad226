"""Turns what is stored into text that a page can have: short, and harmless."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

LONGEST = 10_000
"""Characters of one value that a page has."""
WIDEST = 80
"""Characters of JSON in one line."""
FIRST = ("status", "name", "worker", "queue", "retries", "date_done", "date_start")
"""Fields of a record that come first; the others follow in their order."""
APART = ("result", "traceback", "args", "kwargs", "children", "task_id", "parent_id", "group_id")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def text_of(value: Any) -> str:
    """A value as text: JSON in lines, or as it is; what is too long is cut."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if not isinstance(value, str):
        value = _json(value)
    return cut(value)


def _json(value: Any) -> str:
    try:
        line = json.dumps(value, ensure_ascii=False, default=repr)
        if len(line) <= WIDEST:
            return line
        return json.dumps(value, indent=2, ensure_ascii=False, default=repr)
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def cut(text: str, most: int = LONGEST) -> str:
    """The first `most` characters, and how many follow; characters that hide text are named."""
    more = len(text) - most
    shown = _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text[:most])
    return f"{shown}\n… {more:,} more characters" if more > 0 else shown


def short(text: str, most: int) -> str:
    """One line of at most `most` characters."""
    line = " ".join(cut(text, 10 * most).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def fields(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The short fields of a record, by name."""
    names = [name for name in FIRST if name in record]
    names += [name for name in record if name not in (*FIRST, *APART)]
    return [(str(name), text_of(record[name])) for name in names if record[name] is not None]


def outcome(record: Mapping[str, Any]) -> str:
    """The result: a value, or the exception as Celery keeps it."""
    found = record.get("result")
    if isinstance(found, dict) and "exc_type" in found:
        said = found.get("exc_message")
        words = ", ".join(map(str, said)) if isinstance(said, list | tuple) else str(said)
        return cut(f"{found['exc_type']}: {words}")
    return text_of(found)


def progress(record: Mapping[str, Any]) -> tuple[float, float, str] | None:
    """Current, total and message of a task that tells its progress; None if it does not."""
    meta = record.get("result")
    if not isinstance(meta, dict):
        return None
    current, total = meta.get("current"), meta.get("total")
    if not isinstance(current, int | float) or not isinstance(total, int | float) or total <= 0:
        return None
    return min(max(current, 0), total), total, cut(str(meta.get("message") or ""), 500)


def moment(when: datetime | None) -> str:
    """A time to read, in UTC."""
    return "" if when is None else when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def period(seconds: float | None) -> str:
    """A length of time in its two largest units."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    left, words = int(seconds), []
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, length)
        if count:
            words.append(f"{count:,} {unit}")
    return " ".join(words[:2])


def size(count: int) -> str:
    """A number of bytes to read."""
    for unit, length in (("MB", 10**6), ("kB", 10**3)):
        if count >= length:
            return f"{count / length:,.1f} {unit}"
    return f"{count} B"
