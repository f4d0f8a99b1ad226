"""What the suite writes is removed at the end, or named."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kvbackends.contract import Rank
from kvbackends.layers.only_five import OnlyFive
from kvbackends.stores.memory import MemoryStore
from kvbackends.testing import leftovers, run
from kvbackends.testing.forks import in_child
from kvbackends.testing.leftovers import new_key, noted
from kvbackends.testing.tools import begin, complete, offer, rank_of
from tests.support.dict_store import DictStore

ROOT = Path(__file__).parents[2]
TABLES = ("entry", "barrier", "part", "slot")


def test_sqlite_is_empty_afterwards(tmp_path):
    """Keys of both modes, native barriers, what has expired."""
    file = tmp_path / "r.db"
    report = run([f"sqlite:///{file}"], checks=["parts", "claims", "finishing", "ttl"], quick=True)
    assert (report.exit_code, report.left) == (0, []), report.problem
    with closing(sqlite3.connect(file)) as db:
        assert [db.execute(f"SELECT count(*) FROM {each}").fetchone() for each in TABLES] == [
            (0,) for _ in TABLES
        ]


def test_no_files_are_left(tmp_path, monkeypatch):
    """Nor does a run leave anything in the folder where it was started."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=":")
    monkeypatch.chdir(tmp_path)
    report = run(["memory://files"], checks=["model.agrees"])
    assert (report.exit_code, list(tmp_path.iterdir())) == (0, []), report.problem


def test_store_that_cannot_list():
    """The keys were noted when they were written: nothing else is removed."""
    store, since, key = DictStore(), leftovers.now(), new_key()
    store.set("of another", b"v")
    noted(store)
    store.set(key, b"v")
    store.increment(f"{key}-number", 1, None)
    store.offer(offer(f"{key}-ranked", Rank.FAILED), rank_of)
    begin(store.barrier(f"{key}-begun", 60), 2)
    complete(store.barrier(f"{key}-claimed", 60))
    assert leftovers.remove(store, since) == []
    assert store.rows.keys() == {"of another"}


def test_notes_of_a_child():
    """What a forked child writes is noted, too."""
    inner, since, key = MemoryStore("child"), leftovers.now(), new_key()
    store = noted(OnlyFive(inner))
    assert in_child(lambda: store.set(key, b"v")) == 0
    inner.set(key, b"in place of the child's, whose memory is its own")
    assert leftovers.remove(inner, since) == []
    assert inner.get(key) is None


def test_what_stays_is_named(monkeypatch):
    """A store that cannot remove a key: its name is told."""
    store, since, key = noted(DictStore()), leftovers.now(), new_key()
    store.set(key, b"v")
    monkeypatch.setattr(DictStore, "delete", lambda *_: pytest.fail("the disk is full"))
    (name,) = leftovers.remove(store, since)
    assert key in name
