"""SQLite: the cost of operations, counted in SQLite's own steps, does not grow with the data."""

import pytest

from kvbackends.contract import Outcome, Rank
from kvbackends.stores.sqlite import SQLiteStore
from kvbackends.stores.sqlite.pool import Connection, Pool
from tests.support.chords import offer, part, publisher, rank_of

SIZES = 10, 1000, 10_000


class Steps:
    """Counts steps of SQLite's virtual machine and statements."""

    def __init__(self) -> None:
        self.steps = self.statements = 0

    def count(self, connection: Connection) -> None:
        connection.set_progress_handler(self._step, 1)
        connection.set_trace_callback(self._statement)

    def _step(self) -> int:
        self.steps += 1
        return 0

    def _statement(self, _: str) -> None:
        self.statements += 1

    def spent(self, work) -> tuple[int, int]:
        self.steps = self.statements = 0
        work()
        return self.steps, self.statements


@pytest.fixture
def counted(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch):
    """Make the store count, without housekeeping, whose cost another test bounds."""
    steps, connect = Steps(), Pool._connect

    def connect_counted(pool: Pool) -> Connection:
        connection = connect(pool)
        steps.count(connection)
        return connection

    def begin() -> Steps:
        store.close()
        monkeypatch.setattr(Pool, "_connect", connect_counted)
        monkeypatch.setattr("kvbackends.stores.sqlite.database.HOUSEKEEPING_EVERY", 10**9)
        store._database()._until_housekeeping = 10**9
        return steps

    return begin


def arrivals(store: SQLiteStore, barrier: str, size: int) -> None:
    """A barrier with one part missing."""
    opened = store.barrier(barrier, 60)
    opened.open(b"a" * 100_000)
    opened.expect(publisher(), size)
    database = store._database()

    def fill(connection: Connection) -> None:
        (run,) = connection.execute("SELECT run FROM barrier WHERE name = ?", (barrier,)).fetchone()
        rows = ((run, f"task-{i}", i, b"v" * 100) for i in range(size - 2))
        connection.executemany(
            "INSERT INTO part (run, member, place, value) VALUES (?, ?, ?, ?)", rows
        )
        connection.execute("UPDATE barrier SET header = ? WHERE name = ?", (size - 2, barrier))

    database.write(fill)


def test_a_part_costs_the_same_at_any_size(store: SQLiteStore, counted):
    """A part takes as many steps in a header of 10,000 as of 10, and so does the completing one."""
    for size in SIZES:
        arrivals(store, f"b{size}", size)
    steps = counted()
    for which, outcome in ((2, Outcome.WAITING), (1, Outcome.CLAIMED)):
        costs = []
        for size in SIZES:
            each, result = part(size - which), offer(f"r{size}-{which}", Rank.SUCCEEDED)
            finish, answers = store.barrier(f"b{size}", 60).finish, []
            costs.append(
                steps.spent(
                    lambda f=finish, e=each, r=result, a=answers: a.append(f(e, r, rank_of))
                )
            )
            assert answers[0].outcome is outcome
        assert costs[0][1] == costs[1][1] == costs[2][1] <= 7
        assert max(costs)[0] <= min(costs)[0] * 1.1, costs


def test_each_operation_is_few_statements(store: SQLiteStore, counted):
    """The number of statements of each operation is fixed."""
    store.set("k", b"v")
    store.offer(offer("r", Rank.SUCCEEDED), rank_of)
    steps = counted()
    store.ping()
    expected = {
        "get": (lambda: store.get("k"), 1),
        "get_batch": (lambda: store.get_batch([f"k{i}" for i in range(1000)]), 1),
        "set": (lambda: store.set("k", b"v"), 1),
        "compare_and_set": (lambda: store.compare_and_set("k", b"w", b"v"), 1),
        "offer": (lambda: store.offer(offer("new", Rank.SUCCEEDED), rank_of), 1),
        "refused offer": (lambda: store.offer(offer("r", Rank.UNREADY), rank_of), 4),
        "delete": (lambda: store.delete("k"), 1),
    }
    assert {name: steps.spent(work)[1] for name, (work, _) in expected.items()} == {
        name: count for name, (_, count) in expected.items()
    }


def test_a_write_costs_the_same_in_a_large_file(store: SQLiteStore, counted):
    """The cost of a write and of a step of housekeeping does not depend on the number of keys."""
    steps = counted()

    def fill(connection: Connection, begin: int, end: int) -> None:
        rows = ((f"old-{i}", 3, float("inf"), b"v" * 100) for i in range(begin, end))
        connection.executemany(
            "INSERT INTO entry (key, rank, expires, value) VALUES (?, ?, ?, ?)", rows
        )

    costs, chores = [], []
    for begin, end in ((0, 1000), (1000, 20_000)):
        store._database().write(fill, begin, end)
        costs.append(steps.spent(lambda n=end: store.offer(offer(f"n{n}", Rank.FAILED), rank_of)))
        housekeeper = store._database()._housekeeper
        chores.append(steps.spent(lambda h=housekeeper: store._database().write(h.step)))
    assert costs[1][0] <= costs[0][0] * 1.1, costs
    assert chores[1][0] <= chores[0][0] * 1.1, chores
