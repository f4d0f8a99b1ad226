"""How the records of a chord lead to each other, also after its end.

With `result_extended` a header task's record names the body, as ``chord``.  The record of a body
that failed with its header names the failed header task as its parent, as that of a body that ran
names the header task which sent it.
"""

from collections.abc import Mapping
from typing import Any

from celery.app.task import Context
from celery.exceptions import ChordError

OPERATOR = "operator"
"""The id of the part by which an operator gives up a chord."""


def with_body(meta: dict[str, Any], request: Any) -> dict[str, Any]:
    """The record with the id of the body, if the request is that of a header task."""
    chord: Mapping[str, Any] | None = getattr(request, "chord", None)
    if chord and (body := (chord.get("options") or {}).get("task_id")):
        meta["chord"] = body
    return meta


def blaming(part: str, cause: Any) -> ChordError:
    """The error of a chord whose header task `part` has failed with `cause`."""
    error = ChordError(f"Dependency {part} raised {cause!r}")
    error.kvbackends_part = part
    return error


def request_of_body(error: BaseException) -> Any:
    """A request for the record of a body that failed with its header; None for another error."""
    part = getattr(error, "kvbackends_part", OPERATOR)
    return None if part == OPERATOR else Context(parent_id=part)
