"""Each of Celery's operations makes as many calls to the store as `docs/round-trips.md` says."""

import pytest

from tests.backend import round_trips
from tests.backend.round_trips import MANY, OPERATIONS, STORES, bed, committed, measured

BOUNDS = {
    "`delay()`": (0, 0, 0),
    "store a final result": (1, 1, 1),
    "store a final result, one is there": (1, 1, 3),
    "STARTED, then SUCCESS": (2, 2, 4),
    "get of a ready result": (1, 1, 1),
    f"get of {MANY} ready results": (3, 3, MANY),
    f"save a group of {MANY}": (1, 1, 1),
    "start a chord": (4, 2, 4),
    "chord header task: result and part": (7, 1, 7),
}
"""The most calls of each operation; the page may have fewer, never more."""


@pytest.mark.parametrize("title", OPERATIONS)
@pytest.mark.parametrize("store", STORES)
def test_the_page_tells_the_truth(title, store, tmp_path):
    """After a change for the better: ``python -m tests.backend.round_trips``."""
    assert measured(title, store, tmp_path) == committed()[title][store]


@pytest.mark.parametrize("title", BOUNDS)
def test_the_page_keeps_what_was_promised(title):
    for store, bound in zip(STORES, BOUNDS[title], strict=True):
        assert committed()[title][store] <= bound


def test_the_page_has_every_row_and_no_other():
    text = round_trips.PAGE.read_text()
    assert text == f"{round_trips.INTRODUCTION}{round_trips.table(committed())}\n"
    assert list(committed()) == list(OPERATIONS)


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_unready_parents_are_read_in_batches_after_the_first_look(store, tmp_path):
    """Celery's own code asks for each parent once more at every interval."""
    with bed(store, tmp_path) as made:
        header = made.app.GroupResult("h", [made.app.AsyncResult(str(n)) for n in range(300)])
        result = made.app.AsyncResult("t", parent=header)

        def wait():
            with pytest.raises(result.TimeoutError):
                result.get(timeout=1, interval=0.05)

        made.spent(wait)
        looks = 60  # of the waiter at its own key, alone or with the parents
        assert 300 <= made.counter.calls["get"] <= 300 + looks
        assert made.counter.calls["get_batch"] <= looks


def test_a_part_costs_the_same_in_a_small_and_in_a_large_header(tmp_path):
    """With the five methods only."""
    costs = []
    for size in (10, 400):
        with bed("five", tmp_path) as made:
            parts = made.chord(*[made.task("echo").s(n) for n in range(size)])
            for part in parts[: size // 2]:
                made.run(part)
            costs.append(made.run(parts[size // 2]))
    assert costs[0] == costs[1]
