"""Generates docs/messages.md: every message of an error or of the log, from the source.

`tests/test_troubleshooting.py` asks for the cause and the cure of those that do not give them.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from reference import ROOT, table, with_table

PAGE = ROOT / "docs" / "messages.md"

AREAS = {
    "kvbackends/backend": "Workers and clients",
    "kvbackends/contract": "URLs, options and operations",
    "kvbackends/layers": "URLs, options and operations",
    "kvbackends/plugins": "URLs, options and operations",
    "kvbackends/stores": "SQLite and memory",
    "kvbackends/admin": "The command, the pages and their functions",
    "kvbackends/cli": "The command, the pages and their functions",
    "kvbackends/web": "The command, the pages and their functions",
    "kvbackends/contrib": "The command, the pages and their functions",
    "adapters/redis": "Redis",
    "adapters/mongodb": "MongoDB",
    "adapters/postgresql": "PostgreSQL",
    "adapters/elasticsearch": "Elasticsearch",
    "adapters/cassandra": "Cassandra",
    "adapters/memcached": "memcached",
}
"""Where a message is from, by the first two folders of its file, in the page's order."""

KINDS = {
    "BrokerUnavailable": "command",
    "ConfigurationError": "configuration",
    "ImproperlyConfigured": "configuration",
    "StoreError": "refused",
    "ChordError": "refused",
    "DecodeError": "refused",
    "Unavailable": "retried",
    "Busy": "retried",
    "CannotRun": "command",
    "UsageError": "command",
    "BadParameter": "command",
}
"""What to do about the errors of a class and of those derived from it."""

LEVELS = {"warning": "WARNING", "error": "ERROR", "exception": "ERROR", "info": "INFO"}


class Message(NamedTuple):
    """One message of the code."""

    area: str
    text: str
    """With … for what is filled in."""
    name: str
    """The exception's class, or the log's level."""
    kind: str


def messages() -> list[Message]:
    """Return all messages, without those that only pass on a server's words."""
    found = {message for path in sources() for message in of_file(path)}
    areas = list(dict.fromkeys(AREAS.values()))
    return sorted(found, key=lambda each: (areas.index(each.area), each.text.lower(), each.name))


def sources() -> Iterator[Path]:
    """Yield the modules that speak to users and operators."""
    for pattern in ("kvbackends/*/**/*.py", "adapters/*/kvbackends_*/**/*.py"):
        for path in ROOT.glob(pattern):
            if "/".join(path.relative_to(ROOT).parts[:2]) in AREAS and "scaffold" not in path.parts:
                yield path


@cache
def nodes(path: Path) -> list[ast.AST]:
    """Return all nodes of a module's syntax tree."""
    return list(ast.walk(ast.parse(path.read_text())))


def of_file(path: Path) -> Iterator[Message]:
    """Yield the messages of a module."""
    area = AREAS["/".join(path.relative_to(ROOT).parts[:2])]
    kinds = kinds_of_classes()
    for node in nodes(path):
        if isinstance(node, ast.Call) and node.args:
            name = ast.unparse(node.func)
            text, last = filled(node.args[0]), name.rpartition(".")[2]
            if not re.search(r"[a-z]{3}", text):
                continue
            if kinds.get(last):
                yield Message(area, text, last, kinds[last])
            elif last in LEVELS and "log" in name.lower().rpartition(".")[0]:
                yield Message(area, text, LEVELS[last], LEVELS[last])


@cache
def kinds_of_classes() -> dict[str, str]:
    """Return the kind of each exception by its name."""
    found = dict(KINDS)
    paths = [ROOT / "kvbackends" / "errors.py", *sources()]
    classes = [node for path in paths for node in nodes(path) if isinstance(node, ast.ClassDef)]
    for each in classes * 3:  # a class may stand before its base
        for base in each.bases:
            if kind := found.get(ast.unparse(base).rpartition(".")[2]):
                found.setdefault(each.name, "retried" if "Unavail" in each.name else kind)
    return found


def filled(node: ast.expr) -> str:
    """Return the text of an expression, with … for what is not constant."""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values
        )
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"`?%(r|s|d|g|[.]1f)`?", "…", node.value)
    return "…"


def tables() -> str:
    """Return a table for each area."""
    listed = messages()
    parts = []
    for area in dict.fromkeys(AREAS.values()):
        rows = [(code(each.text), each.kind) for each in listed if each.area == area]
        parts.append(f"## {area}\n\n{table(('message', 'kind'), dict.fromkeys(rows))}")
    return "\n".join(parts)


def code(text: str) -> str:
    """Return a message as code in a cell of a table."""
    text = re.sub(r"…{2,}", "…", " ".join(text.split())).replace("|", "¦")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def pages() -> dict[Path, str]:
    """Return the page with its tables."""
    return {PAGE: with_table(PAGE, tables())}
