"""What this process saw or wrote lately: a hint that spares a read, never more."""

from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The latest values by name, a bounded number; safe from any thread."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._values: dict[str, T] = {}

    def get(self, name: str) -> T | None:
        """The value, or None if it is not remembered."""
        return self._values.get(name)

    def put(self, name: str, value: T) -> None:
        """Remember; the oldest is forgotten where there are too many."""
        self._values.pop(name, None)
        self._values[name] = value
        if len(self._values) > self._most:
            with suppress(KeyError, RuntimeError, StopIteration):  # another thread does it
                del self._values[next(iter(self._values))]

    def pop(self, name: str) -> T | None:
        """Forget; returns what was remembered."""
        return self._values.pop(name, None)
