"""What is done to the nodes of a group, one at a time."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.servers import Group, RedisSentinel, Server, ServerFailed

OUT = 8.0
"""Seconds for which a node is away."""
EVERY = 20.0
"""Seconds from the beginning of a fault to that of the next one, if the group is whole by then."""


class Fault(NamedTuple):
    """One fault: its kind, and the time from its beginning until the group was whole again."""

    kind: str
    began: float
    ended: float


def leading(group: Group[Any]) -> Server:
    """The primary or master where there is one, else a node."""
    for name in ("master", "primary_of"):
        if hasattr(group, name):
            found: Server = getattr(group, name)(*([] if name == "master" else ["key"]))
            return found
    first: Server = group.nodes[0]
    return first


def following(group: Group[Any]) -> Server:
    """Another node with data."""
    leader = leading(group)
    nodes = group.data if isinstance(group, RedisSentinel) else group.nodes
    return next(each for each in nodes if each is not leader)


KINDS: dict[str, tuple[Callable[[Group[Any]], Server], Callable[[Server], None]]] = {
    "leader killed": (leading, Server.kill),
    "other killed": (following, Server.kill),
    "leader stopped": (leading, Server.pause),
    "other stopped": (following, Server.pause),
    "leader restarted": (leading, Server.resume),
}


class Faults(threading.Thread):
    """A schedule of faults.

    Args:
        group: Whose nodes have them.
        count: How many.
    """

    def __init__(self, group: Group[Any], count: int) -> None:
        super().__init__(name="faults")
        self.happened: list[Fault] = []
        self.error: BaseException | None = None
        self._group = group
        self._count = count

    def run(self) -> None:
        """One fault after the other, each to its end."""
        try:
            for kind in itertools.islice(itertools.cycle(KINDS), self._count):
                began = time.monotonic()
                self._happen(kind)
                self.happened.append(Fault(kind, began, time.monotonic()))
                time.sleep(max(0.0, began + EVERY - time.monotonic()))
        except BaseException as error:  # noqa: BLE001 - it is raised by the thread that joins
            self.error = error

    def _happen(self, kind: str) -> None:
        choose, harm = KINDS[kind]
        node = choose(self._group)
        harm(node)
        if kind.endswith("restarted"):
            node.restart()
        else:
            time.sleep(OUT)
            _bring_back(node, kind)
        with contextlib.suppress(ServerFailed):  # then the next fault meets a group that heals
            self._group.settle()


def _bring_back(node: Server, kind: str) -> None:
    if kind.endswith("killed"):
        node.restart()
    else:
        node.resume()
