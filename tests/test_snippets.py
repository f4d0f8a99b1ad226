"""What all pages show is right: commands, URLs with their options, and Python.

The guides' Python is also run, by `test_guides.py`, and that of other pages by their own tests.
"""

import ast
import re
import shlex
from pathlib import Path

import click
import pytest
from celery import Celery
from starlette.applications import Starlette

from kvbackends import open_store
from kvbackends.cli.app import COMMANDS, command
from kvbackends.contract import StoreURL
from kvbackends.plugins.registry import installed

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    {
        *(ROOT / name for name in ("README.md", "SECURITY.md")),
        *(page for page in ROOT.glob("docs/**/*.md") if page.parent.name != "api"),
        *ROOT.glob("adapters/*/README.md"),
    }
)
TEXT = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
URL = re.compile(rf"(?:kv\+)?\b(?:{'|'.join(map(re.escape, installed()))})://[^\s`\"'|<>)]+")


def blocks(*languages):
    return [
        (name, text)
        for name, page in TEXT.items()
        for language, text in BLOCK.findall(page)
        if language in languages
    ]


COMMAND = re.compile(r"^(?:\$ )?kvbackends ([a-z-]+(?: .*)?)$", re.MULTILINE)
SHOWN = sorted({line for _, text in blocks("console", "sh") for line in COMMAND.findall(text)})


@pytest.mark.parametrize("line", SHOWN)
def test_the_command_takes_what_is_shown(line, monkeypatch, tmp_path):
    monkeypatch.setenv("CELERY_APP", "shop")
    (tmp_path / "web").write_text("name:password")
    line = line.replace("/etc/kvbackends", str(tmp_path))
    name, *words = shlex.split(line, comments=True)
    if name == "new":
        return  # makes a folder
    assert name in COMMANDS
    context = click.Context(command)
    assert command.get_command(context, name).make_context(name, words)


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
    assert len(SHOWN) > 30
    assert len(dict(urls())) > 50


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_the_python_can_be_compiled(page, text):
    compile(text, page, "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


READMES = [(page, text) for page, text in blocks("python") if page.startswith("adapters/")]


@pytest.mark.parametrize(("page", "text"), READMES)
def test_the_settings_open_the_store(page, text):
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
    (text,) = (text for page, text in blocks("python") if page == "docs/web.md")
    with Celery(backend="kv+memory://", set_as_current=False) as celery_app:
        api = Starlette()
        exec(text, {"api": api, "celery_app": celery_app})
        assert [route.path for route in api.routes] == ["/results"]
        celery_app.backend.store.close()
