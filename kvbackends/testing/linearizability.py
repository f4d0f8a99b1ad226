"""Decides whether a history of concurrent operations has an order that explains it.

The algorithm is that of Wing and Gong with the cache of Lowe: each set of operations already put in
order, together with the state that they lead to, is examined once.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from kvbackends.contract.records import Outcome, Rank


class Operation(NamedTuple):
    """One call, and the time between its beginning and its answer."""

    name: str
    argument: Any
    answer: Any
    """`UNKNOWN` if no answer came; then it may have happened at any later time, or never."""
    began: float
    ended: float
    after: int = -1
    """The place in the history of an operation that this one has to follow."""


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Any = _Unknown()

Model = Callable[[Any, Operation], tuple[Hashable, Any]]
"""The state after an operation, and the answer that it has to give."""


def explains(model: Model, initial: Hashable, history: Sequence[Operation]) -> bool:
    """Whether the operations, each at some moment while it ran, lead to their answers."""
    required = sum(1 << i for i, each in enumerate(history) if each.answer is not UNKNOWN)
    seen: set[tuple[int, Hashable]] = set()
    pending: list[tuple[int, Hashable]] = [(0, initial)]
    while pending:
        done, state = pending.pop()
        if done & required == required:
            return True
        if (done, state) not in seen:
            seen.add((done, state))
            pending += _next(model, history, done, state)
    return False


def _next(
    model: Model, history: Sequence[Operation], done: int, state: Hashable
) -> list[tuple[int, Hashable]]:
    """Possible next steps: operations that began before any other remaining one had ended."""
    left = [(i, each) for i, each in enumerate(history) if not done >> i & 1]
    first_end = min((_end(each) for _, each in left), default=math.inf)
    found = []
    for i, each in left:
        if each.began <= first_end and (each.after < 0 or done >> each.after & 1):
            new, answer = model(state, each)
            if each.answer is UNKNOWN or answer is UNKNOWN or answer == each.answer:
                found.append((done | 1 << i, new))
    return found


def _end(operation: Operation) -> float:
    return math.inf if operation.answer is UNKNOWN else operation.ended


# -- models -----------------------------------------------------------------------------------


def register(state: Any, operation: Operation) -> tuple[Hashable, Any]:
    """`get` and `compare_and_set` of one key; the argument is (what was read, what to store).

    Every value is stored once, so that it stands for its version.
    """
    if operation.name == "get":
        return state, state
    expected, new = operation.argument
    return (new, True) if state == expected else (state, False)


def counter(state: Any, operation: Operation) -> tuple[Hashable, Any]:
    """`increment` of one key; the state is a number."""
    total = state + operation.argument
    return total, total


def ranked(state: Any, operation: Operation) -> tuple[Hashable, Any]:
    """`get` and `offer` of one key; the state is (rank, value), or None."""
    if operation.name == "get":
        return state, state
    new = operation.argument
    if state == new:
        return state, True
    is_stored = state is None or Rank(state[0]).yields_to(Rank(new[0]))
    return (new if is_stored else state), is_stored


def barrier(size: int) -> Model:
    """Arrivals at a barrier that expects `size` parts; the state is (parts, holder).

    An arrival is two operations: `record`, and after it `look`.  The first arrival that looks when
    all parts are in sees it; that need not be the one that recorded last.
    """

    def model(state: Any, operation: Operation) -> tuple[Hashable, Any]:
        parts, holder = state
        part, delivery = operation.argument
        if operation.name == "record":
            return (parts | {part}, holder), UNKNOWN
        if len(parts) < size:
            return state, (Outcome.WAITING.name, "")
        owner, holding = holder or (part, delivery)
        if owner == part:  # its own part takes over at once
            return (parts, (part, delivery)), (Outcome.CLAIMED.name, "")
        return state, (Outcome.HELD.name, holding)

    return model
