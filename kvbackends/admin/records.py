"""What `Admin` returns."""

from collections.abc import Mapping
from datetime import datetime
from math import inf
from typing import Any

import msgspec


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which results are meant; None and the empty text: any."""

    state: str | None = None
    task: str | None = None
    """The task's name, which a record has with `result_extended` only."""
    worker: str | None = None
    """The worker's host name, likewise."""
    since: datetime | None = None
    """Only results that were done at this time or later, which excludes unfinished ones."""
    until: datetime | None = None

    @property
    def facets(self) -> Mapping[str, str]:
        """What a store may find by itself."""
        asked = {"state": self.state, "task": self.task, "worker": self.worker}
        return {name: value for name, value in asked.items() if value}


class ResultInfo(msgspec.Struct, frozen=True):
    """One line of a list of results."""

    id: str
    state: str
    """``UNREADABLE`` where the app does not accept the record's encoding."""
    task: str
    """Its name; empty where the record has none."""
    worker: str
    done: datetime | None
    """When it ended; None of an unfinished task."""
    size: int
    """Bytes of the stored record."""

    @property
    def order(self) -> tuple[float, str]:
        """Sorts by time; unfinished tasks are the newest."""
        return (inf if self.done is None else self.done.timestamp()), self.id


class Page(msgspec.Struct, frozen=True):
    """Some results, the newest first."""

    results: list[ResultInfo]
    cursor: str | None
    """Give it to `Admin.results` for the following ones; None: there are no more."""


class Node(msgspec.Struct, frozen=True):
    """A task or a group among the children of a result."""

    id: str
    state: str
    task: str
    is_group: bool
    children: list["Node"]


class ResultDetail(msgspec.Struct, frozen=True):
    """Everything that the store knows of one result."""

    info: ResultInfo
    record: dict[str, Any]
    """As it is stored, with Celery's names."""
    expires_in: float | None
    """Seconds; None: never, or the store cannot tell."""
    parent: str
    group: str
    children: list[Node]
    chord: str = ""
    """Of a header task, with `result_extended`: the id of the chord's body."""
    header: str = ""
    """Of a chord's body: the id of its header's group, where the records tell it."""


class Ended(msgspec.Struct, frozen=True):
    """What is stored of a chord that is not in flight."""

    id: str
    """The id of its header's group."""
    body: str
    """The body's task id; empty where no record names it (`result_extended`)."""
    parts: list[ResultInfo]
    """The header tasks with a result: the failed ones, then the others, the newest first."""


class MissingPart(msgspec.Struct, frozen=True):
    """A part that a chord waits for."""

    id: str
    task: str
    """Its name; empty until the task has a record with `result_extended`."""
    state: str


class Holder(msgspec.Struct, frozen=True):
    """The header task whose delivery dispatches the chord."""

    task_id: str
    delivery: str
    seconds: float | None
    """For how long it has held the claim, at most; None: an older kvbackends claimed it."""


class ChordInfo(msgspec.Struct, frozen=True):
    """A chord in flight."""

    id: str
    """The id of its header's group."""
    body: str
    """The body's task id; empty where the app does not accept its encoding."""
    body_task: str
    age: float | None
    """Seconds since it was opened; None: by an older kvbackends."""
    done: int
    total: int | None
    """None until the whole header was sent."""
    missing: list[MissingPart]
    """The parts that have not arrived; empty where the header was lazy and is not known."""
    holder: Holder | None

    @property
    def is_complete(self) -> bool:
        """True if every part is in: its dispatcher is at work, or was lost."""
        return self.total is not None and self.done >= self.total
