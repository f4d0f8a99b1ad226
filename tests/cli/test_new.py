"""The scaffold of an adapter: its suite runs at once, and passes once the methods are written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kvbackends.cli.app import command

ROOT = Path(__file__).parents[2]

METHODS = {
    "from_url": "return cls(url.path)",
    "get": "return self._store.get(key)",
    "set": "self._store.set(key, value, ttl)",
    "delete": "self._store.delete(key)",
    "compare_and_set": "return self._store.compare_and_set(key, value, version, ttl)",
}
"""Over the core's own SQLite store: the scaffold is tried here, not a store."""
BEGINNING = """
    def __init__(self, path: str) -> None:
        from kvbackends import open_store

        self._store = open_store(f"sqlite:////{path}").inner.inner

    @classmethod
    def from_url"""


def invoke(folder, *arguments):
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(command, ["new", *arguments])
    finally:
        os.chdir(before)


def run_suite(folder):
    command = [sys.executable, "-m", "pytest", "-q", "--store-quick", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "-p", "register_it", "--store-check", "methods", "-k", "derived"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"},
        capture_output=True,
        text=True,
    )


def test_the_suite_runs_at_once_and_proves_the_methods(tmp_path):
    done = invoke(tmp_path, "etcd")
    assert done.exit_code == 0, done.output
    folder = tmp_path / "kvbackends-etcd"
    assert "pytest -q -x --store-quick" in done.output
    # In place of its installation.
    (folder / "register_it.py").write_text("import kvetcd, kvbackends\nkvbackends.register(kvetcd)")
    first = run_suite(folder)
    assert first.returncode == 1
    assert "TODO: from_url" in first.stdout, first.stdout
    module = folder / "kvetcd.py"
    text = module.read_text()
    for name, body in METHODS.items():
        text = text.replace(f'raise NotImplementedError("TODO: {name}")', body)
    text = text.replace("\n    @classmethod\n    def from_url", BEGINNING, 1)
    module.write_text(text)
    tests = folder / "tests" / "test_kvetcd.py"
    tests.write_text(tests.read_text().replace("localhost/test", f"localhost{tmp_path}/r.db"))
    second = run_suite(folder)
    assert second.returncode == 0, second.stdout
    assert re.search(r"\b[1-9]\d* passed", second.stdout)


@pytest.mark.parametrize("name", ["Etcd", "my-store", "9p", "class", ""])
def test_a_name_that_cannot_be_a_scheme(tmp_path, name):
    done = invoke(tmp_path, name)
    assert done.exit_code == 2
    assert "small letters and digits" in done.output
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_left_alone(tmp_path):
    (tmp_path / "kvbackends-etcd").mkdir()
    done = invoke(tmp_path, "etcd")
    assert done.exit_code == 2
    assert "already" in done.output
    assert not list((tmp_path / "kvbackends-etcd").iterdir())
