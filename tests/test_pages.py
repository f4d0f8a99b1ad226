"""What README.md shows works; it and docs/compared.md say what the committed reports say."""

import ast
import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def measured(report, what, ours, theirs=""):
    """Return a row of a report."""
    rows = json.loads((ROOT / f"benchmarks/results/{report}.json").read_text())["rows"]
    (row,) = [r for r in rows if (r["what"], r["ours"], r["theirs"]) == (what, ours, theirs)]
    return row["measured"]["median"]


FIGURES = [
    (
        "stored {:.1f} times as fast",
        ("redis", "store a result, 200 B, cross", "kv+redis", "redis"),
    ),
    (
        "joined {:.0f} times as fast",
        ("redis", "join_native of 1,000 ready results, cross", "kv+redis", "redis"),
    ),
    (
        "runs {:.1f} ms after the last",
        ("full", "chord of 10, end to end, until the body is running", "kv+sqlite NORMAL"),
    ),
    (
        "`db+sqlite` after {:.0f} ms",
        ("full", "chord of 10, end to end, until the body is running", "db+sqlite"),
    ),
    ("{:.0f} of 3,000 were lost", ("redis", "SUCCESS lost to a RETRY", "kv+redis")),
    ("{:.0f} with Celery's own", ("redis", "SUCCESS lost to a RETRY", "redis")),
]


COMPARED = [
    ("stored {:.1f} times as fast", ("redis", "store a result, 200 B, cross", "kv+redis", "redis")),
    ("read {:.2f} times as fast", ("redis", "get of a ready result, cross", "kv+redis", "redis")),
    (
        "`get_many` of 100 is {:.2f} times as fast",
        ("redis", "get_many of 100 ready results, cross", "kv+redis", "redis"),
    ),
    (
        "{:.1f} times as fast at the median",
        ("redis", "wait for a result, p50, cross", "kv+redis", "redis"),
    ),
    ("and {:.1f} at p99", ("redis", "wait for a result, p99, cross", "kv+redis", "redis")),
    ("where kv+sqlite takes {:.0f}", ("full", "open the backend and read", "kv+sqlite NORMAL")),
    ("It also lost {:,.0f} of 3,000 races", ("full", "SUCCESS lost to a RETRY", "file")),
]
"""The figures in the prose of `docs/compared.md`; `make docs` writes its tables."""
OF_PAGES = [
    *(("README.md", *figure) for figure in FIGURES),
    *(("docs/compared.md", *figure) for figure in COMPARED),
]


@pytest.mark.parametrize(
    ("page", "words", "row"), OF_PAGES, ids=[words for _, words, _ in OF_PAGES]
)
def test_the_figures_are_those_of_the_reports(page, words, row):
    assert words.format(measured(*row)) in " ".join((ROOT / page).read_text().split())


SETTINGS = re.findall(r"```python\n((?:from celery .*\n\n)?app = Celery\(\"shop\".*\n)```", README)


@pytest.mark.parametrize("lines", SETTINGS)
def test_the_shown_lines_open_a_backend(lines):
    names = {"Celery": Celery}
    exec(lines.replace("…", "memory://"), names)
    with names["app"] as app:
        assert isinstance(app, Celery)
        assert app.backend.as_uri() == "kv+redis://localhost:6379/0"
        app.backend.store.close()


def test_there_are_such_lines():
    assert len(SETTINGS) == 2


def test_the_first_application_works(tmp_path, monkeypatch, capsys):
    """The file of the two-minute start, with a worker in a thread of this process.

    There the lines for asyncio get their value, too.
    """
    monkeypatch.chdir(tmp_path)
    (source,) = re.findall(r"```python\n# tasks.py\n(.*?)```", README, re.DOTALL)
    (awaiting,) = re.findall(r"```python\n(from kvbackends import aget\n.*?)```", README, re.DOTALL)
    awaits = compile(awaiting, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    definitions, main = source.split('if __name__ == "__main__":\n    ')
    names = {"__file__": "tasks.py", "__name__": "tasks"}
    for folder in ("queue", "control"):
        Path(folder).mkdir()
    exec(definitions, names)
    with names["app"] as app:
        # Shorter, it takes away messages before they are written: kombu does not lock the folder.
        app.conf.broker_transport_options["polling_interval"] = 0.3
        with start_worker(app, perform_ping_check=False, shutdown_timeout=60):
            exec(main, names)
            asyncio.run(eval(awaits, names))
        assert names["value"] == 16
        app.backend.store.close()
    assert capsys.readouterr().out == "285\n"


@pytest.mark.slow
def test_the_two_minute_start_can_be_followed(tmp_path):
    """The same with the commands that the page shows."""
    (source,) = re.findall(r"```python\n(# tasks.py\n.*?)```", README, re.DOTALL)
    (tmp_path / "tasks.py").write_text(source)
    (commands,) = re.findall(r"```console\n(\$ mkdir .*?)```", README, re.DOTALL)
    lines = [line[2:] for line in commands.splitlines() if line.startswith("$ ")]
    script = f"export PATH={Path(sys.executable).parent}:$PATH\n" + "\n".join(lines)
    run = subprocess.run(
        ["bash", "-c", f"{script}\nkill %1\nwait"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    assert commands.endswith("\n285\n")
    assert "\n285\n" in run.stdout
