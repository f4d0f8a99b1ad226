"""What all pages show is right: commands, URLs with their options, and Python.

`test_blocks.py` lists by which test each block of each page is run.
"""

import ast
import re
import shlex
import tomllib

import click
import pytest
import yaml
from celery import Celery, chord, states
from celery.app.task import Context
from click.testing import CliRunner
from packaging.requirements import Requirement
from starlette.applications import Starlette

from kvbackends import open_store
from kvbackends.cli.app import COMMANDS, command
from kvbackends.contract import StoreURL
from kvbackends.plugins.registry import installed
from tests.admin.proj import app as proj
from tests.admin.proj import moved
from tests.support.pages import ROOT, blocks

PAGES = sorted(
    {
        *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md")),
        *(page for page in ROOT.glob("docs/**/*.md") if page.parent.name != "api"),
        *ROOT.glob("adapters/*/README.md"),
    }
)
TEXT = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
URL = re.compile(rf"(?:kv\+)?\b(?:{'|'.join(map(re.escape, installed()))})://[^\s`\"'|<>)]+")


def shown(*languages):
    """Return the blocks of all pages in these languages."""
    return [block for page in TEXT for block in blocks(page, *languages)]


COMMAND = re.compile(r"^(?:\$ )?kvbackends ([a-z-]+(?: .*)?)$", re.MULTILINE)
PROBES = [yaml.safe_load(block.text)["readinessProbe"]["exec"] for block in shown("yaml")]
COMMAND_LINES = sorted(
    {line for block in shown("console", "sh") for line in COMMAND.findall(block.text)}
    | {shlex.join(each["command"][1:]) for each in PROBES}
)
UNENDING = {"web": "serves until Ctrl-C", "conformance": "takes minutes"}
"""Commands whose words are only parsed; `tests/web` and `tests/cli` run them."""
TASK, CHORD = "9c6b4a0e-2f6d-4a86-a0f4-2d4a3f5c7a11", "1d6f0c52-7d0b-4a35-9d2f-6a1c0a4d9f10"
"""The ids that pages show."""


@pytest.fixture
def shop(monkeypatch, tmp_path):
    """An application with a failed task and a chord that waits: names of the pages -> its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CELERY_APP", "tests.admin.proj")
    monkeypatch.setattr(proj.amqp, "send_task_message", lambda *_, **__: None)
    monkeypatch.setattr(proj.control, "ping", lambda **_: [])
    monkeypatch.setattr("kvbackends.cli.again.ask_broker", lambda _: None)
    moved(monkeypatch, f"kv+sqlite:///{tmp_path}/results.db")
    mail = proj.tasks["proj.mail"]
    request = Context(task=mail.name, args=["a@b"], kwargs={}, hostname="celery@web-1")
    proj.backend.store_result(TASK, ValueError(), states.FAILURE, request=request)
    waiting = chord([mail.s(each) for each in "ab"], app=proj)(mail.s())
    yield {"proj": "tests.admin.proj", "shop": "tests.admin.proj", CHORD: waiting.parent.id}
    proj.backend.store.close()


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_the_command_runs(line, shop, tmp_path):
    """On SQLite, in place of the shown store, each ends without an error of its own."""
    (tmp_path / "web").write_text("name:password")
    name, *words = shlex.split(line.replace("/etc/kvbackends", str(tmp_path)), comments=True)
    assert name in COMMANDS
    words = placed(name, [shop.get(word, word) for word in words], tmp_path)
    if name in UNENDING:
        assert command.get_command(click.Context(command), name).make_context(name, words)
        return
    done = CliRunner().invoke(command, [name, *words], input="y\n")
    assert done.exit_code in {0, 1}, done.output
    assert isinstance(done.exception, SystemExit | None), done.exception


def placed(name, words, folder):
    """Return the words with the URLs of stores that are there, and an end for `tail`."""
    here, there, old = (f"{folder}/{each}.db" for each in ("results", "copied", "old"))
    places = [there] if "-A" in words else [here, there]
    at = [number for number, word in enumerate(words) if "://" in word]
    for number, place in zip(at, places if name == "copy" else [here], strict=False):
        is_celerys = words[number].startswith(("db+", "mongodb:"))
        words[number] = f"db+sqlite:///{old}" if is_celerys else f"kv+sqlite:///{place}"
    return [*words, "--since=1h", "--count=1"] if name == "tail" else words


PIP = re.compile(r"pip install ((?:[^\s`]|\s(?=[\w\".\-]))+)")
FOREIGN = {"celery", "flower"}


def test_what_pip_installs_is_there():
    """Distributions of this project with extras that they have; packages of others by name."""
    extras = {
        project["name"]: set(project.get("optional-dependencies", ()))
        for path in ROOT.glob("**/pyproject.toml")
        if not {".venv", ".cache"} & {*path.parts}
        for project in [tomllib.loads(path.read_text())["project"]]
    }
    lines = [words for text in TEXT.values() for words in PIP.findall(text)]
    assert len(lines) > 15
    for word in {word for words in lines for word in shlex.split(words)}:
        if not word.startswith((".", "-")):
            found = Requirement(word)
            assert found.name in FOREIGN or found.extras <= extras[found.name], word


MAKE = re.compile(r"(?:^\$ |^ {4}|`)make ([a-z-]+)([^`#\n]*)", re.MULTILINE)


def test_make_has_the_targets():
    """And the benchmarks have the options that they are given."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    options = re.findall(r'"(--[a-z]+)"', (ROOT / "benchmarks/__main__.py").read_text())
    lines = [line for text in TEXT.values() for line in MAKE.findall(text)]
    assert len(lines) > 30
    assert {target for target, _ in lines} <= {*targets}
    given = " ".join(words for target, words in lines if target == "bench")
    assert {*re.findall(r"--[a-z]+", given)} <= {*options}


PLACEHOLDER = re.compile(r"[…{}*]|\.\.\.|FILE|PORT|option=value|busy_timout|sqlite:///$")
"""Of URLs that are not whole, or are wrong on purpose."""


def urls():
    """Return each URL that a page shows whole, with the page that shows it."""
    for name, text in TEXT.items():
        for url in URL.findall(text):
            if not PLACEHOLDER.search(url):
                yield url.rstrip(".,:;").removeprefix("kv+"), name


@pytest.mark.parametrize(("url", "page"), sorted(dict(urls()).items()))
def test_the_url_is_one_that_opens(url, page):
    open_store(url).close()


def test_there_are_commands_and_urls():
    assert len(COMMAND_LINES) > 30
    assert len(dict(urls())) > 50


@pytest.mark.parametrize(("page", "language", "text"), shown("python", "py"))
def test_the_python_can_be_compiled(page, language, text):
    compile(text, page, "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


READMES = [block for block in shown("python") if block.page.startswith("adapters/")]


@pytest.mark.parametrize(("page", "language", "text"), READMES)
def test_the_settings_open_the_store(page, language, text):
    database = {"USER": "u", "PASSWORD": "p", "HOST": "h", "PORT": 5432, "NAME": "n"}
    names = {"app": Celery(set_as_current=False), "Celery": Celery}
    names["DATABASES"] = {"default": database}
    exec(text, names)
    app = names["app"]
    if "CELERY_RESULT_BACKEND" in names:
        app.conf.result_backend = names["CELERY_RESULT_BACKEND"]
    with app:
        store = app.backend.store
        assert StoreURL.parse(app.backend.as_uri().removeprefix("kv+")).scheme in page
        store.close()


def test_the_pages_can_be_mounted():
    ((_, _, text),) = blocks("docs/web.md", "python")
    with Celery(backend="kv+memory://", set_as_current=False) as celery_app:
        api = Starlette()
        exec(text, {"api": api, "celery_app": celery_app})
        assert [route.path for route in api.routes] == ["/results"]
        celery_app.backend.store.close()
