"""What happens to the nodes of a group: each kind of fault, and how it ends."""

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.servers.group import Group
from tests.servers.process import Server
from tests.servers.redis_sentinel import RedisSentinel

Deed = Callable[[Group[Any], Any], None]


class Kind(NamedTuple):
    """One kind of fault."""

    choose: Callable[[Group[Any]], Server]
    """Returns the node that has it."""
    harm: Deed
    heal: Deed | None = None
    """Ends it; None where it is over when `harm` returns."""
    needs: str = "nodes"
    """The attribute of a group that makes it possible."""


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


def possible(group: Group[Any]) -> list[str]:
    """Return the names of the kinds that a group can have."""
    return [name for name, kind in KINDS.items() if getattr(group, kind.needs, None)]


def _kill(_: Group[Any], node: Server) -> None:
    node.kill()


def _restart(_: Group[Any], node: Server) -> None:
    node.restart()


def _pause(_: Group[Any], node: Server) -> None:
    node.pause()


def _resume(_: Group[Any], node: Server) -> None:
    node.resume()


def _cut_off(group: Group[Any], node: Server) -> None:
    assert group.network
    group.network.cut_off(node.host)


def _heal(group: Group[Any], _: Server) -> None:
    assert group.network
    group.network.heal()


def _restart_all(group: Group[Any], _: Server) -> None:
    for each in group.nodes:
        each.restart()
        group.settle()


def _move(group: Any, node: Server) -> None:
    group.move(node)


def _replace(group: Any, node: Server) -> None:
    group.add()
    group.remove(node)


KINDS = {
    "leader killed": Kind(leading, _kill, _restart),
    "leader cut off": Kind(leading, _cut_off, _heal, "network"),
    "leader stopped": Kind(leading, _pause, _resume),
    "other killed": Kind(following, _kill, _restart),
    "other cut off": Kind(following, _cut_off, _heal, "network"),
    "other stopped": Kind(following, _pause, _resume),
    "leader restarted": Kind(leading, _restart),
    "all restarted": Kind(leading, _restart_all),
    "other moved": Kind(following, _move, None, "move"),
    "other replaced": Kind(following, _replace, None, "add"),
    "leader replaced": Kind(leading, _replace, None, "step_down"),
}
"""In the order in which the benchmark lets them happen."""
