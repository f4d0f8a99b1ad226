"""One result with all that is stored of it, and the tree of its children."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from kvbackends.admin.records import Ended, Node, ResultDetail, ResultInfo, Wanted
from kvbackends.admin.results import Results
from kvbackends.backend.backend import BaseKeyValueStoreBackend
from kvbackends.backend.ranks import RANKS
from kvbackends.contract.derived import get_many
from kvbackends.contract.records import Rank
from kvbackends.errors import NotSupported

DEEPEST = 20
"""Levels of children that are followed."""
MOST = 10_000
"""Tasks of a tree that are read."""

Child = tuple[str, list[Any] | None]
"""An id, and the children of a group; None: a task."""


class Details:
    """Reads single results of one backend."""

    def __init__(self, backend: BaseKeyValueStoreBackend, results: Results) -> None:
        self._backend = backend
        self._results = results

    def one(self, task_id: str) -> ResultDetail | None:
        """The result; None if nothing is stored."""
        backend, key = self._backend, self._backend.key_of(task_id)
        value = backend.get(key)
        if value is None:
            return None
        record = self._record(value)
        return ResultDetail(
            info=self._results.info(task_id, value),
            record=record,
            expires_in=self._expires_in(key),
            parent=str(record.get("parent_id") or ""),
            group=str(record.get("group_id") or ""),
            children=self._nodes(_children(record), DEEPEST, set()),
            chord=str(record.get("chord") or ""),
            header=self._header(task_id, record),
        )

    def group(self, group_id: str) -> Node | None:
        """The saved group; None if none is stored."""
        value = self._backend.get(self._backend.get_key_for_group(group_id))
        saved = value and self._record(value).get("result")
        nodes = self._nodes(list(_of([saved])), DEEPEST, set()) if saved else []
        return nodes[0] if nodes else None

    def ended(self, group_id: str) -> Ended | None:
        """What is stored of a chord that has ended; None if nothing is.  Reads all results."""
        body, parts, name = "", [], json.dumps(group_id)[1:-1].encode()
        for info, value in self._results.each(Wanted()):
            if name not in value and value.startswith(b"{"):
                continue
            record = self._record(value)
            if record.get("group_id") == group_id:
                body = body or str(record.get("chord") or "")
                parts.append(info)
        parts = [each for each in parts if each.id != body]  # which Celery counts to the group
        parts.sort(key=lambda each: (RANKS.get(each.state) is not Rank.FAILED, -each.order[0]))
        return Ended(group_id, body, parts[:MOST]) if parts else None

    def _header(self, task_id: str, record: dict[str, Any]) -> str:
        """The header's group; the parent is its task that sent the body, or that failed it."""
        parent = record.get("parent_id")
        value = self._backend.get(self._backend.key_of(str(parent))) if parent else None
        if value is None:
            return ""
        found, result = self._record(value), record.get("result")
        has_failed = isinstance(result, dict) and result.get("exc_type") == "ChordError"
        is_body = has_failed or found.get("chord") == task_id
        return str(found.get("group_id") or "") if is_body else ""

    def _record(self, value: bytes) -> dict[str, Any]:
        try:
            found = self._backend.decode(value)
        except Exception:  # noqa: BLE001 - an encoding that the app does not accept
            return {}
        return found if isinstance(found, dict) else {}

    def _expires_in(self, key: str) -> float | None:
        try:
            return self._backend.store.lifetimes([key]).get(key)
        except NotSupported:
            return None

    def _nodes(self, children: Sequence[Child], depth: int, seen: set[str]) -> list[Node]:
        """One batch of reads for each level of tasks; no task is followed twice."""
        tasks = [each for each, members in children if members is None and each not in seen]
        seen.update(tasks)
        keys = self._backend.keys_of(tasks[: MOST - len(seen) + len(tasks)])
        found = {keys[key]: value for key, value in get_many(self._backend.store, list(keys))}
        return [self._node(child, found, depth, seen) for child in children]

    def _node(self, child: Child, found: dict[str, bytes], depth: int, seen: set[str]) -> Node:
        task_id, members = child
        if members is not None:
            return Node(task_id, "", "", True, self._nodes(list(_of(members)), depth - 1, seen))
        if task_id not in found:
            return Node(task_id, "PENDING", "", False, [])
        info: ResultInfo = self._results.info(task_id, found[task_id])
        below = _children(self._record(found[task_id])) if depth > 1 else []
        return Node(task_id, info.state, info.task, False, self._nodes(below, depth - 1, seen))


def _children(record: dict[str, Any]) -> list[Child]:
    return list(_of(record.get("children") or []))


def _of(children: Sequence[Any]) -> Iterator[Child]:
    """The ids in Celery's form of results: ``[[id, parent], None or members]``."""
    for each in children:
        try:
            (task_id, _parent), members = each
        except (TypeError, ValueError):
            continue
        yield str(task_id), members
