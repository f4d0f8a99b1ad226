"""The connections to a cluster: each exchange goes to the node that serves its keys."""

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
"""Most times in a row that one command is sent elsewhere."""

_ASKING = ("ASKING",)


class ClusterConnections:
    """What `Connections` is for one server; the keys of one exchange are of one slot."""

    def __init__(self, seeds: Sequence[Address], connect: Callable[[Address], Connections]) -> None:
        self.slots = Slots(seeds, connect)

    def call(self, *command: Any) -> Any:
        """Send one command; its answer."""
        node = self.slots.node_of(key_of(command))
        try:
            return node.connections.call(*command)
        except Redirected as error:
            return checked(self._led(node, [command], [error.__cause__]))[0]
        except Unavailable:
            self.slots.doubt()
            raise

    def send(self, *commands: Command) -> list[Any]:
        """Send several commands in one go; their answers, which may be errors."""
        return self._send({self.slots.node_of(key_of(commands[0])): commands})[0]

    def send_all(self, commands: Mapping[str, Command]) -> dict[str, Any]:
        """A command for each of several keys, in one go for each node; the answers by key."""
        groups: dict[Node, list[str]] = {}
        for key in commands:
            groups.setdefault(self.slots.node_of(key), []).append(key)
        sent = self._send({n: [commands[key] for key in keys] for n, keys in groups.items()})
        pairs = zip(groups.values(), sent, strict=True)
        return {k: a for keys, got in pairs for k, a in zip(keys, checked(got), strict=True)}

    def post(self, settle: Settle, *command: Any) -> None:
        """Send one command without waiting; `settle` is told its answer when that has come."""
        node = self.slots.node_of(key_of(command))
        try:
            node.connections.post(settle, *command)
        except Unavailable:
            self.slots.doubt()
            raise

    def run(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """Run a script that the node most likely knows."""
        script = self.spelled(script)
        try:
            return self.call("EVALSHA", script.digest, str(len(keys)), *keys, *arguments)
        except UnknownScript:
            return self.call("EVAL", script.text, str(len(keys)), *keys, *arguments)

    def spelled(self, script: Script) -> Script:
        """The script, as this cluster tells waiters: where it can, only those of one shard."""
        self.slots.look()
        return sharded(script) if self.slots.sharded else script

    def primaries(self) -> Iterator[Connections]:
        """The connections to each node that serves slots."""
        self.slots.look()
        return (node.connections for node in self.slots.primaries())

    def abandon(self) -> None:
        """Close a forked child's copies of the files; what the parent uses is not touched."""
        for node in self.slots.nodes():
            node.connections.abandon()

    def close(self) -> None:
        """Close every connection."""
        for node in self.slots.nodes():
            node.connections.close()

    def _send(self, groups: Mapping[Node, Sequence[Command]]) -> list[list[Any]]:
        """To all nodes, before the first answer is read."""
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
        return [self._led(node, commands, got) for (node, commands), got in pairs]

    def _led(
        self, node: Node, commands: Sequence[Command], answers: list[Any], times: int = 0
    ) -> list[Any]:
        """The answers; where one leads to another node, that node's."""
        elsewhere: dict[tuple[Node, bool], list[int]] = {}
        for place, answer in enumerate(answers):
            if isinstance(answer, AskError):
                to = self.slots.led_to(answer, node), type(answer) is AskError
                elsewhere.setdefault(to, []).append(place)
        if elsewhere and times == REDIRECTIONS:
            raise Unavailable("the cluster sends a command from node to node")
        for (target, asking), places in elsewhere.items():
            wanted = [commands[place] for place in places]
            got = _asked(target, wanted) if asking else target.connections.send(*wanted)
            for place, answer in zip(
                places, self._led(target, wanted, got, times + 1), strict=True
            ):
                answers[place] = answer
        return answers


def _asked(node: Node, commands: Sequence[Command]) -> list[Any]:
    """The answers of a node to which the slot is moving: only who says so is served there."""
    both = [each for command in commands for each in (_ASKING, command)]
    return node.connections.send(*both)[1::2]
