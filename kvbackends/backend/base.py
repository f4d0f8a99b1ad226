"""What the parts of the backend share."""

from collections.abc import Iterable
from typing import Any

from kvbackends.backend.compat import CeleryBackend
from kvbackends.backend.ranks import Ranks
from kvbackends.backend.times import Times
from kvbackends.contract.records import Part
from kvbackends.contract.store import Store

NO_INDEX = 2**31 - 1
"""The place of a part whose message has no index (old clients): after all others."""


class Base(CeleryBackend):
    """Celery's class, and what `kvbackends.backend.backend` sets up."""

    store: Store
    times: Times
    ranks: Ranks
    has_facets: bool
    _pending_results: Any
    extended: bool
    task_prefix: str
    chord_prefix: str

    def key_of(self, task_id: str | bytes) -> str:
        """What Celery's `get_key_for_task` returns, as the store takes it."""
        if type(task_id) is str and task_id:
            return self.task_prefix + task_id
        return text(self.get_key_for_task(task_id))

    def keys_of(self, task_ids: Iterable[Any]) -> dict[str, Any]:
        """The ids by their keys, each once."""
        prefix = self.task_prefix
        return {
            prefix + each if type(each) is str and each else self.key_of(each): each
            for each in task_ids
        }


def part_of(request: Any, delivery: str) -> Part:
    """The part that a header task's request stands for."""
    index = getattr(request, "group_index", None)
    return Part(NO_INDEX if index is None else int(index), request.id, delivery)


def text(key: str | bytes) -> str:
    """A key as the store takes it; Celery's own keys are bytes."""
    if type(key) is str:
        return key
    return key.decode() if isinstance(key, bytes) else str(key)
