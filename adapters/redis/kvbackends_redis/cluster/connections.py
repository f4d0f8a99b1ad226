"""Connections to a cluster: each exchange goes to the node that serves its keys."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from redis.exceptions import AskError

from kvbackends_redis.cluster.slots import Node, Slots
from kvbackends_redis.connecting.connections import Command, Connections, Sent, checked, key_of
from kvbackends_redis.connecting.sentinel import Address
from kvbackends_redis.connecting.wire import Settle
from kvbackends_redis.errors import Redirected, Unavailable, UnknownScript
from kvbackends_redis.operations.scripts import Script, sharded

REDIRECTIONS = 5
"""Maximum number of redirections of one command."""

_ASKING = ("ASKING",)


class ClusterConnections:
    """`Connections` for a cluster; the keys of one command are of one slot."""

    def __init__(self, seeds: Sequence[Address], connect: Callable[[Address], Connections]) -> None:
        self.slots = Slots(seeds, connect)

    def call(self, *command: Any) -> Any:
        """Send one command and return its answer; raise an error reply."""
        node = self.slots.node_of(key_of(command))
        try:
            return node.connections.call(*command)
        except Redirected as error:
            return checked(self._followed(node, [command], [error.__cause__]))[0]
        except Unavailable:
            self.slots.doubt()
            raise

    def send(self, *commands: Command) -> list[Any]:
        """Send several commands of one slot at once; error replies are returned too."""
        return self._send({self.slots.node_of(key_of(commands[0])): commands})[0]

    def send_all(self, commands: Mapping[str, Command]) -> dict[str, Any]:
        """Send a command for each key, at once for each node; the answers by key."""
        groups: dict[Node, list[str]] = {}
        for key in commands:
            groups.setdefault(self.slots.node_of(key), []).append(key)
        sent = self._send({n: [commands[key] for key in keys] for n, keys in groups.items()})
        pairs = zip(groups.values(), sent, strict=True)
        return {k: a for keys, got in pairs for k, a in zip(keys, checked(got), strict=True)}

    def post(self, settle: Settle, *command: Any) -> None:
        """Send one command without waiting; `settle` is called with the answer later."""
        node = self.slots.node_of(key_of(command))
        try:
            node.connections.post(settle, *command)
        except Unavailable:
            self.slots.doubt()
            raise

    def run(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """Run a script by its digest, or by its text where the node does not know it."""
        script = self.spelled(script)
        try:
            return self.call("EVALSHA", script.digest, str(len(keys)), *keys, *arguments)
        except UnknownScript:
            return self.call("EVAL", script.text, str(len(keys)), *keys, *arguments)

    def spelled(self, script: Script) -> Script:
        """The variant of the script for this cluster: with sharded channels if it has them."""
        self.slots.update()
        return sharded(script) if self.slots.sharded else script

    def primaries(self) -> Iterator[Connections]:
        """The connections to each node that serves slots."""
        self.slots.update()
        return (node.connections for node in self.slots.primaries())

    def abandon(self) -> None:
        """Close a forked child's copies of the sockets; the parent's stay open."""
        for node in self.slots.nodes():
            node.connections.abandon()

    def close(self) -> None:
        """Close every connection."""
        for node in self.slots.nodes():
            node.connections.close()

    def _send(self, groups: Mapping[Node, Sequence[Command]]) -> list[list[Any]]:
        """Send to all nodes, then read the answers."""
        sent: list[Sent] = []
        try:
            for node, commands in groups.items():
                sent.append(node.connections.begin(*commands))
            answers = [sent.pop(0).answers() for _ in groups]
        except BaseException as error:
            for each in sent:
                each.drop()
            if isinstance(error, Unavailable):
                self.slots.doubt()
            raise
        pairs = zip(groups.items(), answers, strict=True)
        return [self._followed(node, commands, got) for (node, commands), got in pairs]

    def _followed(
        self, node: Node, commands: Sequence[Command], answers: list[Any], times: int = 0
    ) -> list[Any]:
        """The answers, with redirections replaced by the answers of the nodes that they name."""
        elsewhere: dict[tuple[Node, bool], list[int]] = {}
        for place, answer in enumerate(answers):
            if isinstance(answer, AskError):
                to = self.slots.led_to(answer, node), type(answer) is AskError
                elsewhere.setdefault(to, []).append(place)
        if elsewhere and times == REDIRECTIONS:
            raise Unavailable(f"the cluster redirected a command more than {REDIRECTIONS} times")
        for (target, asking), places in elsewhere.items():
            wanted = [commands[place] for place in places]
            got = _asked(target, wanted) if asking else target.connections.send(*wanted)
            for place, answer in zip(
                places, self._followed(target, wanted, got, times + 1), strict=True
            ):
                answers[place] = answer
        return answers


def _asked(node: Node, commands: Sequence[Command]) -> list[Any]:
    """The answers of a node that is importing the slot: it wants ASKING before each command."""
    both = [each for command in commands for each in (_ASKING, command)]
    return node.connections.send(*both)[1::2]
