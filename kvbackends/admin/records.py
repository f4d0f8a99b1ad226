"""What `Admin` returns."""

from collections.abc import Mapping
from datetime import datetime
from math import inf
from typing import Any

import msgspec


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which results are meant; None and the empty text: any.

    Attributes:
        state: The state's name.
        task: The task's name, which a record has with `result_extended` only.
        worker: The worker's host name, likewise.
        since: Only results that were done at this time or later, which excludes unfinished
            ones.
        until: Only results that were done at this time or earlier.
    """

    state: str | None = None
    task: str | None = None
    worker: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def facets(self) -> Mapping[str, str]:
        """What a store may find by itself."""
        asked = {"state": self.state, "task": self.task, "worker": self.worker}
        return {name: value for name, value in asked.items() if value}


class ResultInfo(msgspec.Struct, frozen=True):
    """One line of a list of results.

    Attributes:
        id: The task's id.
        state: ``UNREADABLE`` where the app does not accept the record's encoding.
        task: Its name; empty where the record has none.
        worker: Its host name; empty where the record has none.
        done: When it ended; None of an unfinished task.
        size: Bytes of the stored record.
    """

    id: str
    state: str
    task: str
    worker: str
    done: datetime | None
    size: int

    @property
    def order(self) -> tuple[float, str]:
        """Sorts by time; unfinished tasks are the newest."""
        return (inf if self.done is None else self.done.timestamp()), self.id


class Page(msgspec.Struct, frozen=True):
    """Some results, the newest first.

    Attributes:
        results: The results of this page.
        cursor: Give it to `Admin.results` for the following ones; None: there are no more.
    """

    results: list[ResultInfo]
    cursor: str | None


class Node(msgspec.Struct, frozen=True):
    """A task or a group among the children of a result.

    Attributes:
        id: The id of the task or group.
        state: The task's state; of a group empty.
        task: The task's name; empty where the record has none.
        is_group: Whether it is a group.
        children: What it led to.
    """

    id: str
    state: str
    task: str
    is_group: bool
    children: list["Node"]


class ResultDetail(msgspec.Struct, frozen=True):
    """Everything that the store knows of one result.

    Attributes:
        info: Its line in a list.
        record: As it is stored, with Celery's names.
        expires_in: Seconds; None: never, or the store cannot tell.
        parent: The id of the task that sent it; empty if none is known.
        group: The id of its group; empty if it is in none.
        children: What it led to.
        chord: Of a header task, with `result_extended`: the id of the chord's body.
        header: Of a chord's body: the id of its header's group, where the records tell it.
    """

    info: ResultInfo
    record: dict[str, Any]
    expires_in: float | None
    parent: str
    group: str
    children: list[Node]
    chord: str = ""
    header: str = ""


class Ended(msgspec.Struct, frozen=True):
    """What is stored of a chord that is not in flight.

    Attributes:
        id: The id of its header's group.
        body: The body's task id; empty where no record names it (`result_extended`).
        parts: The header tasks with a result: the failed ones, then the others, the newest
            first.
    """

    id: str
    body: str
    parts: list[ResultInfo]


class MissingPart(msgspec.Struct, frozen=True):
    """A part that a chord waits for.

    Attributes:
        id: The task's id.
        task: Its name; empty until the task has a record with `result_extended`.
        state: Its state as it was read.
    """

    id: str
    task: str
    state: str


class Holder(msgspec.Struct, frozen=True):
    """The header task whose delivery dispatches the chord.

    Attributes:
        task_id: The task's id.
        delivery: The random id of the delivery.
        seconds: For how long it has held the claim, at most; None: an older kvbackends claimed
            it.
    """

    task_id: str
    delivery: str
    seconds: float | None


class ChordInfo(msgspec.Struct, frozen=True):
    """A chord in flight.

    Attributes:
        id: The id of its header's group.
        body: The body's task id; empty where the app does not accept its encoding.
        body_task: The body's name; empty where it is not known.
        age: Seconds since it was opened; None: by an older kvbackends.
        done: How many parts have arrived.
        total: None until the whole header was sent.
        missing: The parts that have not arrived; empty where the header was lazy and is not
            known.
        holder: What holds the claim; None while parts are missing.
    """

    id: str
    body: str
    body_task: str
    age: float | None
    done: int
    total: int | None
    missing: list[MissingPart]
    holder: Holder | None

    @property
    def is_complete(self) -> bool:
        """True if every part is in: its dispatcher is at work, or was lost."""
        return self.total is not None and self.done >= self.total
