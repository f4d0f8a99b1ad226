"""SQLite: expired rows are deleted, the file stays small, and each step is short."""

import os
import random
import time
from pathlib import Path

import pytest

from kvbackends.contract import Rank
from kvbackends.stores.sqlite import SQLiteStore
from kvbackends.stores.sqlite.housekeeping import PAGE_BYTES, PAGES, affordable
from kvbackends.stores.sqlite.pool import Connection
from tests.stores.conftest import in_processes
from tests.support.chords import offer, part, publisher, rank_of


def rows(store: SQLiteStore, table: str) -> int:
    return store._database().rows(f"SELECT count(*) FROM {table}", ())[0][0]


def test_the_file_stays_small_without_sweep(store: SQLiteStore, path: Path):
    """Expired results and chords do not accumulate when `sweep` is never called."""

    def write(process: int) -> None:
        for i in range(1500):
            store.offer(offer(f"{process}-{i}", Rank.SUCCEEDED, "x" * 1000, 0.02), rank_of)
            if i % 10 == 0:
                barrier = f"{process}-b{i}"
                store.barrier(barrier, 0.02).open(b"x" * 1000)
                store.barrier(barrier, 0.02).arrive(part(0), b"x" * 1000)

    assert in_processes(write, 2) == [0, 0]
    assert rows(store, "entry") < 2000
    assert rows(store, "barrier") < 200
    assert rows(store, "part") < 200
    middle = path.stat().st_size
    assert in_processes(write, 2) == [0, 0]
    assert path.stat().st_size < 1.5 * middle


def test_sweep_removes_all_expired_rows(store: SQLiteStore):
    """Repeated calls until `sweep` returns 0 leave only the rows that have not expired."""
    store._database()._until_housekeeping = 10**9
    for i in range(300):
        store.set(f"short-{i}", b"v", 0.01)
        store.set(f"long-{i}", b"v", 60)
        store.barrier(f"b{i}", 0.01 if i % 2 else 60).open(b"v")
        store.barrier(f"b{i}", 0.01).arrive(part(0), b"v")
    time.sleep(0.05)
    counts = []
    while count := store.sweep(100):
        counts.append(count)
    assert max(counts) <= 100
    assert rows(store, "entry") == 300
    assert rows(store, "barrier") == rows(store, "part") == rows(store, "about") == 150
    assert rows(store, "trash") == 0


def test_sweep_continues_where_it_ended(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch):
    """Consecutive calls read each row once, and go round the table."""
    monkeypatch.setattr("kvbackends.stores.sqlite.sweeping.PAGE", 10)
    store._database()._until_housekeeping = 10**9
    for i in range(100):
        store.set(f"k{i}", b"v", 0.01 if i % 2 else None)
    time.sleep(0.05)
    assert [store.sweep(7) for _ in range(9)][:7] == [7] * 7
    assert store.sweep(7) == 0
    store.set("late", b"v", 0.01)
    time.sleep(0.05)
    assert store.sweep(7) == 1


def test_closing_drops_the_parts(store: SQLiteStore):
    """A closed barrier leaves one row, however many parts it had; a new run leaves none behind."""
    barrier = store.barrier("b", 60)
    barrier.open(b"payload")
    barrier.expect(publisher(), 700)
    for place in range(700):
        each = part(place)
        barrier.arrive(each, b"v")
    barrier.expect_more(part(0), 0, "too late")
    barrier.close(each, None, rank_of)
    left = {table: rows(store, table) for table in ("barrier", "part", "slot", "about", "trash")}
    assert left == {"barrier": 1, "part": 0, "slot": 0, "about": 0, "trash": 0}


def test_crash_after_the_tombstone(store: SQLiteStore):
    """Any writer deletes the rows of a closed barrier that a crash left."""
    store._database()._until_housekeeping = 100  # where each process begins is random
    barrier = store.barrier("b", 60)
    barrier.open(b"payload")
    for place in range(50):
        barrier.arrive(part(place), b"v")
    barrier.open(b"again")  # as a crash before the first step leaves it
    assert rows(store, "part") == 50
    for i in range(200):
        store.set(f"k{i}", b"v")
    assert rows(store, "part") == 0
    assert rows(store, "about") == 1


def test_steps_are_bounded_by_bytes():
    """A step deletes many small rows, few large ones, and always at least one."""
    assert len(affordable((i, 100) for i in range(256))) == 256
    assert len(affordable((i, 100 * PAGE_BYTES) for i in range(256))) == PAGES // 101
    assert affordable([(7, 10**9), (8, 1)]) == [7]
    assert affordable([]) == []


def test_the_write_ahead_log_is_truncated(store: SQLiteStore, path: Path):
    """After a large value the log does not stay large."""
    store.set("large", os.urandom(40_000_000))
    for i in range(3000):
        store.set(f"k{i}", b"v" * 1000)
    assert Path(f"{path}-wal").stat().st_size < 20_000_000


def test_expiry_follows_the_hosts_clock(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch):
    """A clock that is set forward expires keys, and set back restores them.

    The leases of chords do not use this clock.
    """
    store.set("minute", b"v", 60)
    store.set("day", b"v", 86400)
    store.set("for ever", b"v")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert {*store.get_batch(["minute", "day", "for ever"])} == {"day", "for ever"}
    assert store.get("minute") is None
    monkeypatch.setattr(time, "time", lambda: now)
    assert store.get("minute").value == b"v"


def test_a_version_never_stands_for_other_bytes(store: SQLiteStore):
    """After a deletion and a new write, an old version is only valid if the bytes are equal."""
    store.set("k", b"a")
    _, version = store.get("k")
    store.delete("k")
    store.set("k", b"b")
    assert not store.compare_and_set("k", b"c", version)


def test_a_barriers_counters_equal_its_rows(store: SQLiteStore):
    """They do after parts arrive and members are added in any order."""
    rng = random.Random(3)
    for n in range(60):
        barrier = f"b{n}"
        store.barrier(barrier, 60).open(b"")
        for _ in range(25):
            each = part(rng.randrange(3), f"m{rng.randrange(5)}")
            if rng.random() < 0.5:
                store.barrier(barrier, 60).arrive(each, b"v")
            else:
                store.barrier(barrier, 60).expect_more(
                    each, rng.randrange(2), f"m{rng.randrange(5)}"
                )
        store._database().read(_check_counts, barrier)


def _check_counts(connection: Connection, barrier: str) -> None:
    run, header, slots, unfilled = connection.execute(
        "SELECT run, header, slots, unfilled FROM barrier WHERE name = ?", (barrier,)
    ).fetchone()
    listed = connection.execute("SELECT place, member FROM part WHERE run = ?", (run,)).fetchall()
    added = connection.execute("SELECT slot, member FROM slot WHERE run = ?", (run,)).fetchall()
    members, arrived = {m for _, m in added}, {m for _, m in listed}
    filled = {slot for slot, m in added if m in arrived}
    names = {slot for slot, _ in added}
    assert header == sum(m not in members for _, m in listed)
    assert (slots, unfilled) == (len(names), len(names - filled))
