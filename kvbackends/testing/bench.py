"""The cost of each operation of a store: round trips and time, native and derived."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from kvbackends import NotSupported, open_store
from kvbackends.contract import Store
from kvbackends.layers.only_five import OnlyFive
from kvbackends.testing import leftovers
from kvbackends.testing.areas.faults import SCENARIOS, Scenario
from kvbackends.testing.calls import CALLS
from kvbackends.testing.layers import Counting
from kvbackends.testing.network import network, replaced

TIMES = 20
"""How often each operation is called."""
MODES = ("native", "derived")
OPERATIONS = {
    **{name: Scenario(CALLS[name]) for name in ("ping", "get", "increment")},
    **{name: each for name, each in SCENARIOS.items() if name != "lifetimes"},
}


class Cost(NamedTuple):
    """What one operation costs."""

    operation: str
    mode: str
    """``native`` or ``derived``."""
    trips: float
    """Round trips to the server, on average; calls of the store where no proxy can count them."""
    seconds: float
    """The median, measured without the proxy."""


def costs(url: str, settings: Mapping[str, object] | None = None) -> list[Cost]:
    """Return the cost of each operation of the store at `url`; the keys are removed afterwards."""
    given, began, found = dict(settings or {}), leftovers.now(), list[Cost]()
    store = leftovers.noted(open_store(url, given))
    try:
        for mode in MODES:
            derived = mode == "derived"
            direct = OnlyFive(store) if derived else store
            with _counting(store, url, given, derived=derived) as (counted, trips):
                for name, each in OPERATIONS.items():
                    spent, seconds = _spent(direct, counted, each, trips), _median(direct, each)
                    found.append(Cost(name, mode, spent, seconds))
        leftovers.remove(store, began)
    finally:
        store.close()
    return found


@contextmanager
def _counting(
    store: Store, url: str, settings: Mapping[str, object], *, derived: bool
) -> Iterator[tuple[Store, Callable[[], int]]]:
    """Yield a store, and the number of round trips, or calls, that it has made up to now."""
    try:
        with network(store, url, replaced, settings, derived=derived) as made:
            yield made.opened(), lambda: made.proxy.trips
    except NotSupported:
        counting = Counting(store)
        yield OnlyFive(counting) if derived else counting, counting.calls.total


def _median(store: Store, each: Scenario) -> float:
    """The seconds of the operation."""
    took = []
    for _ in range(TIMES):
        key = leftovers.new_key()
        each.prepare(store, key)
        began = time.monotonic()
        each.act(store, key)
        took.append(time.monotonic() - began)
    return statistics.median(took)


def _spent(store: Store, counted: Store, each: Scenario, trips: Callable[[], int]) -> float:
    """The round trips of the operation, on average."""
    counted.get(leftovers.new_key())  # connects
    spent = 0
    for _ in range(TIMES):
        key = leftovers.new_key()
        each.prepare(store, key)
        before = trips()
        each.act(counted, key)
        spent += trips() - before
    return spent / TIMES
