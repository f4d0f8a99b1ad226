"""How long a chord is kept, as its opener tells all its parts.

The opener alone sees the delays of the header.  It tells the lifetime in a header of the body, and
every header task's message carries the body, so each part is kept as long.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from kvbackends.backend.compat import as_datetime, header_being_sent

HEADER = "kvbackends_chord_ttl"
"""The header of the body, in seconds.  A body without it belongs to a chord of another backend."""


def announce(app: Any, body: Any, ttl: float) -> None:
    """Tell that the chord that is being applied is kept for `ttl` after its longest delay."""
    tasks, options = header_being_sent()
    delay = max(_own(app, options), _longest(app, tasks))
    body.options["headers"] = {**(body.options.get("headers") or {}), HEADER: ttl + delay}


def _longest(app: Any, tasks: Iterable[Mapping[str, Any]]) -> float:
    return max((_delay(app, task) for task in tasks), default=0.0)


def _delay(app: Any, signature: Mapping[str, Any]) -> float:
    """Seconds that the tasks of a signature wait one after the other."""
    kwargs, own = signature.get("kwargs") or {}, _own(app, signature.get("options") or {})
    match signature.get("subtask_type"):
        case "chain":
            return own + sum(_delay(app, task) for task in kwargs["tasks"])
        case "group":
            return own + _longest(app, _tasks(kwargs["tasks"]))
        case "chord":
            header = _longest(app, _tasks(kwargs["header"]))
            return own + header + (_delay(app, kwargs["body"]) if kwargs.get("body") else 0.0)
    return own


def _tasks(header: Any) -> Iterable[Mapping[str, Any]]:
    """The tasks of a header; none of a lazy one, which reading would exhaust."""
    if isinstance(header, Mapping):
        header = header["kwargs"]["tasks"]
    return header if isinstance(header, (list, tuple)) else ()


def _own(app: Any, options: Mapping[str, Any]) -> float:
    if options.get("countdown"):
        return max(float(options["countdown"]), 0.0)
    if not options.get("eta"):
        return 0.0
    left = as_datetime(app, options["eta"]) - datetime.now(UTC)
    return max(left.total_seconds(), 0.0)
