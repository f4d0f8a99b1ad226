"""The connections to a cluster: each exchange goes to the node that serves its keys."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from redis.exceptions import AskError

from kvbackends_redis.connections import Command, Connections, checked
from kvbackends_redis.errors import Redirected, Unavailable, UnknownScript
from kvbackends_redis.scripts import Script, sharded
from kvbackends_redis.sentinel import Address
from kvbackends_redis.slots import Node, Slots
from kvbackends_redis.wire import Settle

REDIRECTIONS = 5
"""Most times in a row that one command is sent elsewhere."""

_ASKING = ("ASKING",)


class ClusterConnections:
    """What `Connections` is for one server; the keys of one exchange are of one slot."""

    def __init__(self, seeds: Sequence[Address], connect: Callable[[Address], Connections]) -> None:
        self.slots = Slots(seeds, connect)

    def call(self, *command: Any) -> Any:
        """Send one command; its answer."""
        node = self.slots.node_of(_key(command))
        try:
            return node.connections.call(*command)
        except Redirected as error:
            return checked([self._followed(node, command, error.__cause__)])[0]
        except Unavailable:
            self.slots.doubt()
            raise

    def send(self, *commands: Command) -> list[Any]:
        """Send several commands in one go; their answers, which may be errors."""
        return self._sent(self.slots.node_of(_key(commands[0])), commands)

    def send_all(self, commands: Mapping[str, Command]) -> dict[str, Any]:
        """A command for each of several keys, in one go for each node; the answers by key."""
        answers: dict[str, Any] = {}
        for node, keys in self._by_node(commands).items():
            sent = self._sent(node, [commands[key] for key in keys])
            answers.update(zip(keys, checked(sent), strict=True))
        return answers

    def post(self, settle: Settle, *command: Any) -> None:
        """Send one command without waiting; `settle` is told its answer when that has come."""
        node = self.slots.node_of(_key(command))

        def settled(answer: Any) -> None:
            settle(self._followed(node, command, answer))

        node.connections.post(settled, *command)

    def run(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        """Run a script that the node most likely knows."""
        script = self.spelled(script)
        try:
            return self.call("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except UnknownScript:
            return self.call("EVAL", script.text, len(keys), *keys, *arguments)

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

    def _by_node(self, keys: Collection[str]) -> dict[Node, list[str]]:
        groups: dict[Node, list[str]] = {}
        for key in keys:
            groups.setdefault(self.slots.node_of(key), []).append(key)
        return groups

    def _sent(self, node: Node, commands: Sequence[Command]) -> list[Any]:
        try:
            answers = node.connections.send(*commands)
        except Unavailable:
            self.slots.doubt()
            raise
        pairs = zip(commands, answers, strict=True)
        return [self._followed(node, command, answer) for command, answer in pairs]

    def _followed(self, node: Node, command: Command, answer: Any) -> Any:
        """The answer of the node that the first answer leads to, which may be an error."""
        for _ in range(REDIRECTIONS):
            if not isinstance(answer, AskError):
                return answer
            asking = type(answer) is AskError
            node = self.slots.led_to(answer, node)
            commands = (_ASKING, command) if asking else (command,)
            answer = node.connections.send(*commands)[-1]
        return Unavailable("the cluster sends the command from node to node")


def _key(command: Command) -> Any:
    return command[3] if command[0] in ("EVALSHA", "EVAL") else command[1]
