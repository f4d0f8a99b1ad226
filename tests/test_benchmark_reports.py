"""Reports of the benchmarks.

A run of one store replaces its rows in the committed report, and nothing else.
"""

import json
import re

import pytest

from benchmarks import concurrency, plan, report
from benchmarks.measure import Spread
from benchmarks.rows import Row, at_least, figure

ABOUT = {"mode": "stores", "date": "2026-01-01", "git": "abc", "machine": "m", "load before": "0.1"}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The folder of the reports."""
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    return tmp_path


def rows_of(store, value):
    """What is measured on a store: a ratio, and a figure of Celery's backend."""
    ratio = Row("store", f"kv+{store}", f"db+{store}", "x", Spread(value, 1.0, 9.0), at_least(2))
    return [ratio, figure("lost", f"db+{store}+driver", value, "lost")]


def test_the_rows_of_one_store_are_replaced(results):
    report.write([*rows_of("a", 3.0), *rows_of("b", 3.0), *rows_of("c", 3.0)], ABOUT | {"b": "1.0"})
    before = json.loads((results / "stores.json").read_text())
    path = report.update(rows_of("b", 1.0), ABOUT | {"date": "2026-02-02"}, {"b": "2.0"})
    after = json.loads(path.with_suffix(".json").read_text())
    medians = [each["measured"]["median"] for each in after["rows"]]
    assert medians == [3.0, 3.0, 1.0, 1.0, 3.0, 3.0]
    assert [after["rows"][n] for n in (0, 1, 4, 5)] == [before["rows"][n] for n in (0, 1, 4, 5)]
    assert after["about"] == before["about"] | {
        "b": "2.0; measured 2026-02-02, git abc, machine m, load before 0.1"
    }
    assert "2 of 3 gates passed" in path.read_text()
    assert path.read_text().count("**miss**") == 1


def test_a_new_store_comes_last_and_a_report_may_begin_with_one(results):
    report.update(rows_of("a", 3.0), ABOUT, {"a": "1.0"})
    path = report.update(rows_of("b", 4.0), ABOUT, {"b": "1.0"})
    rows = json.loads(path.with_suffix(".json").read_text())["rows"]
    assert [each["measured"]["median"] for each in rows] == [3.0, 3.0, 4.0, 4.0]


def test_many_processes_and_threads_are_measured_on_both_sides(tmp_path):
    """By the short form, on one server."""
    versions = {}
    short = plan.quick(tmp_path)._replace(crowds=(2,))
    rows = [*concurrency.scenarios(versions)["memcached"](short)]
    assert [row.what for row in rows] == [
        f"{what}, {kind}: 2" for what in ("get", "store") for kind in ("processes", "threads")
    ]
    number, late = r"[1-9][\d,]*", r"[\d.]+ (µs|ms|s)"
    latencies = "".join(f"; {name} {late} to {late}" for name in ("p50", "p99"))
    for row in rows:
        assert re.fullmatch(f"each second {number} to {number}{latencies}", row.detail), row
    assert "pymemcache" in versions["memcached"]
