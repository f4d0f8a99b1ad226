"""The messages in `docs/troubleshooting.md` are those of the code."""

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
CELLS = re.findall(r"^\| (`.+?) \|", PAGE, re.MULTILINE)
SHOWN = [message for cell in CELLS for message in re.findall(r"`([^`]+)`", cell)]
SOURCES = [*ROOT.glob("kvbackends/**/*.py"), *ROOT.glob("adapters/*/kvbackends_*/**/*.py")]
EXPLAINED = {"configuration", "command", "retried", "INFO"}
"""Kinds of messages whose cause and cure are those of the kind, or stand in the message."""


@cache
def tool():
    """Return the module that writes `docs/messages.md`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        return importlib.import_module("messages")


@cache
def texts():
    """Return all texts of the source, with … for what is filled in."""
    nodes = [node for path in SOURCES for node in tool().nodes(path)]
    return {filled(node) for node in nodes if isinstance(node, ast.Constant | ast.JoinedStr)}


def filled(node):
    if isinstance(node, ast.JoinedStr):
        return "".join(filled(each) if constant(each) else "…" for each in node.values)
    return re.sub(r"[`]?%(r|s|g|[.]1f)[`]?", "…", str(node.value))


def constant(node):
    return isinstance(node, ast.Constant)


def is_told(message, by=None):
    """Whether a text (by default one of the source) has all pieces of the message, in order."""
    pieces = [piece.strip() for piece in message.split("…") if piece.strip()]
    wanted = re.compile(".*".join(map(re.escape, pieces)), re.DOTALL)
    return any(pieces[0] in text and wanted.search(text) for text in by or texts())


@pytest.mark.parametrize("message", SHOWN)
def test_the_message_is_one_of_the_code(message):
    assert is_told(message)


def test_every_message_is_explained():
    """Refusals and warnings are on the page with cause and cure."""
    told = {each.text for each in tool().messages() if each.kind not in EXPLAINED}
    assert len(told) > 30
    assert {text for text in told if not any(is_told(each, [text]) for each in SHOWN)} == set()


def test_a_message_that_is_not_told_is_found():
    assert len(SHOWN) > 30
    assert not is_told("the store … is tired")
