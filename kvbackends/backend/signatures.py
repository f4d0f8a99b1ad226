"""The tasks and errbacks that a signature consists of."""

from collections.abc import Iterator, Mapping
from typing import Any


def without_errbacks_of_outer_chord(body: Any) -> Any:
    """A body without those errbacks that the outer chord's failure will call.

    `chord.link_error` gives the bodies of chords in its header the same errback; the outer chord
    fails with them, and calls it once for all.
    """
    outer = errbacks_of(body.options.get("chord"))
    if not outer:
        return body
    own = body.clone()
    own.options["link_error"] = [each for each in errbacks_of(body) if each not in outer]
    return own


def bodies_within(body: Any) -> Iterator[Mapping[str, Any]]:
    """The bodies of a body that is itself a chord; Celery knows the errbacks of the outer one."""
    while body and body.get("subtask_type") == "chord":
        body = (body.get("kwargs") or {}).get("body")
        if body:
            yield body


def errbacks_of(signature: Any) -> list[Any]:
    """The errbacks linked to a signature, which may be None."""
    options = signature.get("options") or {} if signature else {}
    linked = options.get("link_error") or []
    return list(linked) if isinstance(linked, (list, tuple)) else [linked]


def tasks_of(
    signature: Mapping[str, Any], in_header: bool = False
) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """The plain tasks of a signature; each with True if it is in the header of an inner chord.

    Header tasks of a chord that never starts have no chord to return to.
    """
    kind, kwargs = signature.get("subtask_type"), signature.get("kwargs") or {}
    if kind in ("group", "chain"):
        for task in kwargs.get("tasks") or ():
            yield from tasks_of(task, in_header)
    elif kind == "chord":
        header = kwargs.get("header") or ()
        for task in header["kwargs"]["tasks"] if isinstance(header, Mapping) else header:
            yield from tasks_of(task, True)
        if kwargs.get("body"):
            yield from tasks_of(kwargs["body"], in_header)
    else:
        yield signature, in_header


def is_carried_again(request: Any, group_id: str) -> bool:
    """True if the request is a redelivered message that carries this chord as its chain's next.

    Celery applies that chord once for each delivery; whatever else is applied may be meant.
    """
    if not request or not request.chain or not (request.delivery_info or {}).get("redelivered"):
        return False
    header = (request.chain[-1].get("kwargs") or {}).get("header")
    options = header.get("options") if isinstance(header, Mapping) else None
    return (options or {}).get("task_id") == group_id
