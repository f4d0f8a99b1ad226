"""A layer around the store that kills, stops or holds its own process at one call."""

import os
import signal
import time
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar

from kvbackends.contract import Entry, Store, hookimpl
from kvbackends.layers.layer import Layer
from kvbackends.testing.layers import BarrierCalls
from tests.e2e import diary

T = TypeVar("T")


class Spec(NamedTuple):
    """A trap, which catches once.  It crosses the broker as a list."""

    name: str
    when: str
    """``before`` or ``after``."""
    call: str
    """A method of the store or of its barriers, or ``*``."""
    action: str
    """A key of `ACTIONS`."""
    nth: int = 1
    """Which of these calls, counted from the arming."""


class Armed:
    """The trap of this process, and the calls it has seen."""

    def __init__(self, spec: Spec | None = None) -> None:
        self.spec = spec
        self.seen = 0

    def passes(self, name: str) -> bool:
        """Count a call; True if it is the one that the trap waits for."""
        if self.spec is None or self.spec.call not in (name, "*"):
            return False
        self.seen += 1
        return self.seen == self.spec.nth

    def catch(self, when: str) -> None:
        """Do what the trap does, if it does it now and has not done it before."""
        spec = self.spec
        if spec is not None and spec.when == when and diary.first("trap", spec.name):
            diary.write("trap", name=spec.name, call=spec.call)
            ACTIONS[spec.action](spec)


_armed = Armed()


def arm(spec: Any) -> None:
    """From now on; None: no trap."""
    global _armed  # noqa: PLW0603 - one trap a process is the point
    _armed = Armed(spec and Spec(*spec))


def kill_child(_: Spec) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_worker(_: Spec) -> None:
    """The main process, and this child; their keeper kills the other children."""
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def stop(_: Spec) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def hold(spec: Spec) -> None:
    """Until the test lets it go; a soft time limit may strike meanwhile."""
    diary.wait_for(f"go-{spec.name}")


def slow(_: Spec) -> None:
    """Longer than any time limit of these tests."""
    time.sleep(30)


ACTIONS: dict[str, Callable[[Spec], None]] = {
    "kill child": kill_child,
    "kill worker": kill_worker,
    "stop": stop,
    "hold": hold,
    "slow": slow,
}


class Down(Exception):
    """What the driver of a store raises that cannot be reached."""


class Trapped(Layer):
    """Runs into the armed trap.  While the file ``down`` exists, the store cannot be reached."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.transient_errors = (*inner.transient_errors, Down)
        self._down = diary.folder() / "down"

    def around(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        if name == "barrier":
            return lambda *args: BarrierCalls(operation(*args), self.call)
        return lambda *args: self.call(name, lambda: operation(*args))

    def get(self, key: str) -> Entry | None:
        return self.call("get", lambda: self.inner.get(key))

    def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self.call("set", lambda: self.inner.set(key, value, ttl))

    def delete(self, key: str) -> None:
        self.call("delete", lambda: self.inner.delete(key))

    def compare_and_set(
        self, key: str, value: bytes, version: Hashable | None, ttl: float | None = None
    ) -> bool:
        return self.call(
            "compare_and_set", lambda: self.inner.compare_and_set(key, value, version, ttl)
        )

    def call(self, name: str, operation: Callable[[], T]) -> T:
        armed = _armed
        caught = armed.passes(name)
        if caught:
            armed.catch("before")
        if self._down.exists():
            raise Down(name)
        answer = operation()
        if caught:
            armed.catch("after")
        return answer


class Layers:
    """The plugin."""

    def __init__(self, *layers: Callable[[Store], Store]) -> None:
        self._layers = layers

    @hookimpl
    def kvbackends_layers(self, url: Any) -> Any:
        return self._layers
