"""Puts code of the source into docs/store-behind-a-network.md, where a mark names file and name."""

import ast
import re
import textwrap
from pathlib import Path

from reference import ROOT

PAGE = ROOT / "docs" / "store-behind-a-network.md"
MARK = re.compile(r"(<!-- source: (\S+) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def quoted(mark: re.Match[str]) -> str:
    """Return the mark with the present code of what it names."""
    begin, path, name, end = mark.groups()
    return f"{begin}\n```python\n{source(ROOT / path, name)}\n```\n\n{end}"


def source(path: Path, dotted: str) -> str:
    """Return a class, function or assignment of a file, by its dotted name.

    Raises:
        LookupError: The file has no such name.
    """
    text = path.read_text()
    node: ast.AST = ast.parse(text)
    for name in dotted.split("."):
        found = [each for each in getattr(node, "body", []) if is_named(each, name)]
        if not found:
            raise LookupError(f"{path} has no {dotted}")
        node = found[0]
    begin = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
    return textwrap.dedent("\n".join(text.splitlines()[begin - 1 : node.end_lineno]))


def is_named(node: ast.AST, name: str) -> bool:
    """Whether a statement defines a name."""
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    return name in {getattr(node, "name", ""), *(getattr(each, "id", "") for each in targets)}


def pages() -> dict[Path, str]:
    """Return the page with the present code."""
    return {PAGE: MARK.sub(quoted, PAGE.read_text())}
