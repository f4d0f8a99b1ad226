"""The payload of a chord's barrier: its body and the shape of its header, for the dispatcher."""

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from celery.result import GroupResult, ResultSet
from kombu import serialization
from kombu.exceptions import EncodeError

from kvbackends.backend.compat import LazyTasks

logger = logging.getLogger(__name__)

Tree = list[Any]
"""Task ids in header order; a list stands for a group that kept its shape."""


class Payload(NamedTuple):
    """The payload that `encode` stored."""

    body: Any = None
    header: Tree | None = None
    """None: the header is lazy, and was not exhausted to read it."""


class _Kept(msgspec.Struct):
    header: list[Any] | None
    content_type: str
    content_encoding: str
    body: bytes
    opened: float = 0.0
    """When the chord was opened, in seconds since 1970 by its opener's clock; 0: not known."""


def encode(app: Any, body: Any, results: Any) -> bytes:
    """Return the payload as bytes, with the body encoded as in a message if that is possible."""
    header = None if isinstance(results, LazyTasks) else [_node(result) for result in results]
    try:
        kind, encoding, data = serialization.dumps(dict(body), app.conf.task_serializer)
    except EncodeError:
        logger.warning("a chord's body cannot be encoded; only its header tasks can dispatch it")
        kind, encoding, data = "", "", b""
    payload = data.encode() if isinstance(data, str) else data
    return msgspec.msgpack.encode(_Kept(header, kind, encoding, payload, time.time()))


def decode(app: Any, data: bytes) -> Payload:
    """Return the payload that `encode` stored; empty if it expired or was never written."""
    if not data:
        return Payload()
    kept = msgspec.msgpack.decode(data, type=_Kept)
    if not kept.body:
        return Payload(None, kept.header)
    names = {*(app.conf.accept_content or ()), app.conf.task_serializer}
    accept = serialization.prepare_accept_content(names)
    body = serialization.loads(kept.body, kept.content_type, kept.content_encoding, accept=accept)
    return Payload(body, kept.header)


def opened(data: bytes) -> float:
    """When the chord was opened, in seconds since 1970; 0 if the payload does not tell."""
    return msgspec.msgpack.decode(data, type=_Kept).opened if data else 0.0


def ids(header: Tree) -> Iterator[str]:
    """The task ids of a header, in its order."""
    for node in header:
        if isinstance(node, list):
            yield from ids(node)
        else:
            yield node


def leaves(result: Any) -> Iterator[str]:
    """The ids of the tasks that a result consists of."""
    if isinstance(result, ResultSet):
        for child in result.results:
            yield from leaves(child)
    else:
        yield result.id


def arranged(
    header: Tree | None, parts: Sequence[tuple[int, str, bytes]], values: list[Any]
) -> list[Any]:
    """The values as the header tells, with added parts behind the place of their adders.

    `parts` begin with index and task id, in this order.  Without a header, or where it does not
    fit, the values keep it: every dispatcher orders alike.
    """
    if header is None or header == [member for _, member, _ in parts]:
        return values
    left = {(part[0], part[1]): value for part, value in zip(parts, values, strict=True)}
    try:
        tops = [_take(node, place, left) for place, node in enumerate(header)]
    except KeyError:
        return values
    groups = [[top] for top in tops] or [[]]
    for (place, _), value in left.items():
        groups[min(place, len(groups) - 1)].append(value)
    return [value for group in groups for value in group]


def _take(node: Any, place: int, left: dict[tuple[int, str], Any]) -> Any:
    if isinstance(node, list):
        return [_take(child, index, left) for index, child in enumerate(node)]
    key = (place, node)
    if key not in left:  # the index of a nested part need not be its position in the tree
        key = next((each for each in left if each[1] == node), key)
    return left.pop(key)


def _node(result: Any) -> Any:
    if isinstance(result, GroupResult):
        children: Sequence[Any] = result.results
        return [_node(child) for child in children]
    return result.id
