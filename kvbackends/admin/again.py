"""Sends tasks again, from what their records have kept of them."""

from typing import Any

from kvbackends.admin.records import ResultDetail
from kvbackends.backend.broker import sending

NEEDED = ("name", "args", "kwargs")


def lacking(detail: ResultDetail | None) -> str:
    """Why the task cannot be sent again; empty if it can."""
    if detail is None:
        return "no result"
    missing = [name for name in NEEDED if detail.record.get(name) is None]
    return f"its record has no {', '.join(missing)} (result_extended)" if missing else ""


def send(app: Any, detail: ResultDetail) -> str:
    """Send the same task, arguments and queue as a new task, the old one's child; its id.

    Call `ask_broker` first, once for all tasks: Celery tries a broker that is down for longer.
    Raises `BrokerUnavailable` if the broker goes away since.
    """
    record = detail.record
    name, args, kwargs = (record[each] for each in NEEDED)
    queue = {"queue": record["queue"]} if record.get("queue") else {}
    options = {"args": args, "kwargs": kwargs, "parent_id": detail.info.id, **queue}
    known = app.tasks.get(name)
    with sending(f"{detail.info.id} was sent again"):
        sent = known.apply_async(**options) if known else app.send_task(name, **options)
    return str(sent.id)
