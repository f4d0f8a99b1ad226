"""Runs `docs/write-an-adapter.md`, block by block, so that it stays correct.

The first line of a block of Python or TOML names its file.  A second block of the same file is
merged as a reader would do it: imports to the imports, members into the class of the same name.  A
``broken`` block is undone after the next command.  The guide shows some lines of an output,
and each must occur; ``…`` stands for other lines.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "write-an-adapter.md"
SCRIPTS = Path(sys.executable).parent

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WHOLE = "pytest -q --store-quick"
"""The command for the whole quick suite; all but its last run repeat what the last one shows."""
SOME = " ".join(f"--store-check={area}" for area in ("methods", "threads", "parts"))

NAMED = re.compile(r"# ([\w.]+)(?:, (\w+))?\n")

pytestmark = pytest.mark.timeout(900)


class Reader:
    """Follows the guide, in a folder of its own."""

    def __init__(self, folder, shortened):
        self.folder = folder
        self.shortened = shortened
        self.site = folder / ".site"
        self.ran = []
        self._broken = None

    def do(self, language, text):
        """Follow one block."""
        if language == "console":
            self._type(text)
        elif language in {"python", "toml"}:
            self._write(text)

    # -- files --------------------------------------------------------------------------------

    def _write(self, text):
        name, how = NAMED.match(text).groups()
        file = self.folder / name
        if how == "broken":
            self._broken = (file, file.read_text())
        assert file.exists() is (how is not None), f"{name} is new, or says that it is changed"
        file.write_text(merged(file.read_text(), text) if how else text)

    def _mend(self):
        if self._broken is not None:
            file, text = self._broken
            file.write_text(text)
            self._broken = None
        # Python treats a file of the same size and second as unchanged.
        shutil.rmtree(self.folder / "__pycache__", ignore_errors=True)

    # -- commands -----------------------------------------------------------------------------

    def _type(self, block):
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            self.ran.append(command)
            if command.startswith("pip install"):
                self._install(command)
            else:
                self._run(command, [line for line in shown.splitlines() if line != "…"])
        self._mend()

    def _install(self, command):
        """Install from the folder; the core and its tools are already installed."""
        if "-e ." not in command:
            return
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"]
        subprocess.run(build, cwd=self.folder, check=True, stdout=subprocess.DEVNULL)
        [wheel] = (self.folder / "dist").glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            # Editable: the entry point is installed, the module stays where it is.
            names = [name for name in packed.namelist() if ".dist-info/" in name]
            packed.extractall(self.site, names)

    def _run(self, command, shown):
        environment = os.environ | {
            "PATH": f"{SCRIPTS}:{os.environ['PATH']}",
            "PYTHONPATH": f"{self.site}:{self.folder}",
            "COLUMNS": "120",
        }
        if command.startswith("pytest"):
            shorter = command == WHOLE and self.ran.count(WHOLE) in self.shortened
            environment["PYTEST_ADDOPTS"] = SOME if shorter else ""
        done = subprocess.run(
            ["bash", "-c", command.replace("/tmp/kvfolder-guide", str(self.folder / "results"))],
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        fails = any(line.startswith(("FAILED", "[XPASS")) for line in shown)
        assert done.returncode == (1 if fails else 0), done.stdout
        assert [line for line in shown if line not in done.stdout] == [], done.stdout


def merged(old, new):
    """Return two sources as one; members of a class replace or join those of its namesake."""
    tree = ast.parse(old)
    at = 1 + max(i for i, node in enumerate(tree.body) if is_import(node))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in ast.parse(new).body:
        if isinstance(node, ast.ClassDef) and node.name in classes:
            merge_members(classes[node.name], node)
        else:
            tree.body.insert(at, node)
            at += 1
    return ast.unparse(tree)


def is_import(node):
    return isinstance(node, ast.Import | ast.ImportFrom)


def merge_members(old, new):
    places = {name_of(node): place for place, node in enumerate(old.body)}
    for node in new.body:
        if name_of(node) in places:
            old.body[places[name_of(node)]] = node
        else:
            old.body.append(node)


def name_of(node):
    return node.targets[0].id if isinstance(node, ast.Assign) else getattr(node, "name", None)


def test_the_guide_can_be_followed(tmp_path, pytestconfig):
    runs = GUIDE.read_text().count(f"$ {WHOLE}\n")
    all_whole = pytestconfig.getoption("kvbackends_full")
    reader = Reader(tmp_path, shortened=() if all_whole else range(1, runs))
    for language, text in BLOCK.findall(GUIDE.read_text()):
        reader.do(language, text)
    assert len(reader.ran) == GUIDE.read_text().count("\n$ ")
    assert sum(command.startswith("pytest") for command in reader.ran) >= 5


def test_every_link_has_a_target():
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", GUIDE.read_text())
    assert links
    assert [link for link in links if not (GUIDE.parent / link).exists()] == []


@pytest.mark.parametrize(
    ("new", "result"),
    [
        ("import b\nclass C:\n    x = 2", "import a\nimport b\n\nclass C:\n    x = 2"),
        ("class C:\n    y = 2", "import a\n\nclass C:\n    x = 1\n    y = 2"),
        ("class D:\n    y = 2", "import a\n\nclass D:\n    y = 2\n\nclass C:\n    x = 1"),
    ],
)
def test_how_blocks_are_merged(new, result):
    assert merged("import a\nclass C:\n    x = 1", new) == result
