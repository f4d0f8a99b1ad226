"""The command, run as a person or a CI job runs it."""

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from kvbackends import __version__
from kvbackends.testing import checks

ROOT = Path(__file__).parents[2]
SCHEMA = {
    "version": int,
    "kvbackends": str,
    "exit_status": int,
    "problem": str,
    "stores": list,
}


def kvbackends(*words, **environment):
    """Runs the command at 80 columns, in a pipe, with nothing known about the terminal."""
    return subprocess.run(
        [sys.executable, "-m", "kvbackends.cli", *words],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "80", "LANG": "C.UTF-8", **environment},
        timeout=100,
    )


def conformance(*words, **environment):
    return kvbackends("conformance", *words, **environment)


def test_entry_point():
    """`kvbackends` is `kvbackends.cli:main`."""
    (script,) = entry_points(group="console_scripts", name="kvbackends")
    assert script.value == "kvbackends.cli:main"


def test_passing_store(tmp_path):
    """SQLite passes: status 0, a matrix in 80 columns without colour, JSON and JUnit in files."""
    url = f"sqlite:///{tmp_path}/r.db"
    files = [f"--json={tmp_path}/r.json", f"--junit={tmp_path}/r.xml"]
    done = conformance(url, "--quick", "--area=ranks", "--area=versions", *files)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert " \n" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert f"{url} ──" in done.stdout
    assert "✔ conforms" in done.stdout
    content = json.loads((tmp_path / "r.json").read_text())
    assert {name: type(value) for name, value in content.items()} == SCHEMA
    (store,) = content["stores"]
    assert [row["area"] for row in store["areas"]] == ["versions", "ranks"]
    assert "NATIVE_RANK" in store["features"]["native"]
    assert store["counts"] == {"passed": len(store["runs"])}
    suite = ET.parse(tmp_path / "r.xml").getroot().find("testsuite")
    assert suite.get("name") == url
    assert len(suite.findall("testcase")) == int(suite.get("tests")) == len(store["runs"])
    assert suite.get("failures") == "0"


def test_lacking_store():
    """The features that memory lacks are named; with --json - stdout has only JSON."""
    done = conformance("memory://cli", "--area=lasting", "--area=methods", "--quick", "--json=-")
    assert done.returncode == 0
    (store,) = json.loads(done.stdout)["stores"]
    assert store["url"] == "memory://cli"
    assert set(store["features"]["lacking"]) >= {"DURABLE", "SHARED"}
    assert "✔ conforms" in done.stderr


def test_broken_store(tmp_path):
    """A broken store: status 1, the check, the rule, the message and the command to see it."""
    url = f"broken-rank-as-text://{tmp_path}/r"
    words = ["--plugin=tests.broken_stores", "--check=ranks.matrix", f"--junit={tmp_path}/r.xml"]
    done = conformance(url, *words)
    assert done.returncode == 1, done.stderr
    reproduce = f"kvbackends conformance {url} --plugin tests.broken_stores --check ranks.matrix"
    assert f"$ {reproduce}\n" in done.stdout
    assert "docs/contract.md#ranks" in done.stdout
    assert "✘ does not conform   1 check of 1 failed" in done.stdout
    failures = ET.parse(tmp_path / "r.xml").getroot().findall(".//failure")
    assert failures
    assert all(reproduce in each.text for each in failures)


LEAKY = """
from kvbackends import ConfigurationError
from kvbackends.contract import Adapter, hookimpl
from tests.broken_stores.reference import ReferenceStore

class Leaky(ReferenceStore):
    def get(self, key):
        raise ValueError(f"no {self.url.raw.reveal()} with {self.url.password.reveal()}")

    def ping(self):
        if self.url.path == "down":
            raise OSError(f"refused {self.url.password.reveal()}")

@hookimpl
def kvbackends_adapters():
    yield Adapter(schemes=("leaky",), store=Leaky, summary="tells", example="leaky://x")
"""


def test_no_secret(tmp_path):
    """The password of a store that shows it everywhere is masked in every output."""
    (tmp_path / "leaky.py").write_text(LEAKY)
    words = ["--plugin=leaky", "--check=methods.set_then_get"]
    files = [f"--json={tmp_path}/r.json", f"--junit={tmp_path}/r.xml"]
    path = f"{tmp_path}:{ROOT}"
    done = conformance("leaky://user:hunter2@host/x", *words, *files, PYTHONPATH=path)
    assert done.returncode == 1, done.stderr
    assert "'leaky://user:**@host/x' --plugin leaky --check methods.set_then_get" in done.stdout
    assert "ValueError: no leaky://user:**@host/x with **" in done.stdout
    written = [(tmp_path / name).read_text() for name in ("r.json", "r.xml")]
    down = conformance("leaky://user:hunter2@host/down", *words, PYTHONPATH=path)
    assert down.returncode == 2
    assert "leaky://user:**@host/down cannot be reached: refused **" in down.stderr
    assert "hunter2" not in "".join([done.stdout, done.stderr, down.stderr, *written])


DYING = """
import os

from kvbackends.contract import Adapter, hookimpl
from tests.broken_stores.reference import ReferenceStore


class Dying(ReferenceStore):
    def offer(self, offer, rank_of):
        os._exit(3)


@hookimpl
def kvbackends_adapters():
    yield Adapter(schemes=("dying",), store=Dying, summary="dies", example="dying://x")
"""


def test_process_that_dies(tmp_path):
    """A store that takes the process with it fails the check, and the run says where it ended."""
    (tmp_path / "dying.py").write_text(DYING)
    done = conformance(
        "dying://x", "--plugin=dying", "--area=ranks", PYTHONPATH=f"{tmp_path}:{ROOT}"
    )
    assert done.returncode == 1, done.stderr
    assert "✘ ranks.matrix   native, 1 of 1 run" in done.stdout
    assert "`rank_of(stored bytes)` is given to `offer`" in done.stdout
    assert done.stdout.endswith("stopped: the process ended with status 3 in this check\n")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nosuch://u:hunter2@host"], "nosuch"),
        (["nosuch"], "URL 1: a store's URL looks like"),
        (["sqlite:///no/such/folder/r.db?retry=0"], "cannot be reached"),
        (["memory://?nosuch_token=hunter2"], "no option 'nosuch_token'"),
        (["memory://", "memory://"], "given twice"),
        (["memory://", "--check=ranks.matrx"], "did you mean ranks.matrix?"),
        (["memory://", "--area=rank"], "did you mean ranks?"),
        (["memory://", "--check=model.agrees_always", "--quick"], "--quick leaves out"),
        (["memory://", "--plugin=no_such_module"], "no_such_module"),
        (["memory://", "--nosuch"], "No such option"),
        (["memory://", "--json=/no/such/folder/r.json"], "cannot be written"),
        ([], "which store?"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value) or "nothing",
)
def test_cannot_run(words, why):
    """Status 2, one message, no traceback, no secret."""
    done = conformance(*words)
    assert done.returncode == 2
    assert why in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def test_cannot_run_is_in_the_files(tmp_path):
    """The files that were asked for are written, and hold the problem."""
    done = conformance("nosuch://x", "--json=-", f"--junit={tmp_path}/r.xml")
    assert done.returncode == 2
    content = json.loads(done.stdout)
    assert (content["exit_status"], content["stores"]) == (2, [])
    assert "nosuch" in content["problem"]
    assert ET.parse(tmp_path / "r.xml").getroot().find(".//error") is not None


def test_missing_extra(tmp_path):
    """Without pytest the command says what to install."""
    (tmp_path / "main.py").write_text(
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "import kvbackends.cli.app as app\n"
        "app.find_spec = lambda name: None if name == 'pytest' else find(name)\n"
        "app.command()\n"
    )
    done = subprocess.run(
        [sys.executable, f"{tmp_path}/main.py", "conformance"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert (
        done.stderr == 'kvbackends: pytest not installed; run: pip install "kvbackends[testing]"\n'
    )


def test_list_and_version():
    """Each check in one line, also where lines are short; the version."""
    listed = conformance("--list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [check.name for check in checks()]
    assert kvbackends("--version").stdout == f"kvbackends, version {__version__}\n"
