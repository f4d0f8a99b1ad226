"""The messages in `docs/troubleshooting.md` are those of the code."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SHOWN = re.findall(r"^\| `(.+?)` \|", PAGE, re.MULTILINE)
SOURCES = [*ROOT.glob("kvbackends/**/*.py"), *ROOT.glob("adapters/*/kvbackends_*/**/*.py")]


@cache
def texts():
    """Return all texts of the source, with … for what is filled in."""
    nodes = [node for path in SOURCES for node in ast.walk(ast.parse(path.read_text()))]
    return {filled(node) for node in nodes if isinstance(node, ast.Constant | ast.JoinedStr)}


def filled(node):
    if isinstance(node, ast.JoinedStr):
        return "".join(filled(each) if constant(each) else "…" for each in node.values)
    return re.sub(r"[`]?%(r|s|g|[.]1f)[`]?", "…", str(node.value))


def constant(node):
    return isinstance(node, ast.Constant)


def is_told(message):
    """Whether a text of the source has all pieces of the message, in order."""
    pieces = [re.escape(piece.strip()) for piece in message.split("…") if piece.strip()]
    wanted = re.compile(".*".join(pieces), re.DOTALL)
    return any(wanted.search(text) for text in texts())


@pytest.mark.parametrize("message", SHOWN)
def test_the_message_is_one_of_the_code(message):
    assert is_told(message)


def test_a_message_that_is_not_told_is_found():
    assert len(SHOWN) > 30
    assert not is_told("the store … is tired")
