"""Generates docs/api/*.md: the public names of each package, from their docstrings.

Signatures are those of the source.  A public name without a docstring, and a field without a
description, is an error.
"""

import ast
import enum
import importlib
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from reference import ROOT

FOLDER = ROOT / "docs" / "api"
PACKAGES = {
    "application": ("kvbackends", "For an application"),
    "contract": ("kvbackends.contract", "For an adapter"),
    "layers": ("kvbackends.layers.codec", "For a layer"),
    "admin": ("kvbackends.admin", "For operators"),
    "web": ("kvbackends.web", "The pages"),
    "testing": ("kvbackends.testing", "The conformance suite"),
}
"""Page -> the package, and the page's title."""
NOTE = "Generated from the docstrings by `make docs`; `help()` shows the same.\n"
SECTION = re.compile(
    r"^(Args|Attributes|Returns|Raises|Yields):\n((?:(?:    .*)?(?:\n|$))+)", re.MULTILINE
)
ITEM = re.compile(r"^    (\S[^:\n]*): (.+(?:\n {5,}.*)*)", re.MULTILINE)


class Undocumented(Exception):
    """A public name lacks its description."""


def page(package: str, title: str) -> str:
    """Return the page of a package."""
    module = importlib.import_module(package)
    names = sorted(public(module), key=lambda name: (order(getattr(module, name)), name.lower()))
    parts = [f"# {title}: `{package}`\n", NOTE, prose(inspect.getdoc(module) or "")]
    parts += [entry(name, getattr(module, name), module) for name in names]
    return "\n".join(part for part in parts if part)


def public(module: ModuleType) -> list[str]:
    """Return the public names of a package, without its modules."""
    names: list[str] = getattr(module, "__all__", None) or dir(module)
    return [
        name
        for name in names
        if not name.startswith("_")
        and not inspect.ismodule(getattr(module, name))
        and is_own(getattr(module, name), module)
    ]


def is_own(value: object, module: ModuleType) -> bool:
    """Whether a module without ``__all__`` offers a name itself, and does not only use it."""
    return hasattr(module, "__path__") or getattr(value, "__module__", "") == module.__name__


def order(value: object) -> int:
    """Return the place of a kind of name on the page: classes, functions, others."""
    if isinstance(value, type):
        return 1 if issubclass(value, Exception) else 0
    return 2 if inspect.isroutine(value) else 3


def entry(name: str, value: Any, module: ModuleType) -> str:
    """Return the section of a public name."""
    if isinstance(value, type):
        return of_class(name, value)
    if inspect.isroutine(value):
        return f"## {name}\n\n{code(signature(name, value))}\n{documented(name, value)}"
    return of_constant(name, value, module)


def of_class(name: str, value: type) -> str:
    """Return the section of a class, with its fields, members and own methods."""
    bases = [base.__name__ for base in value.__bases__ if base is not object]
    head = f"class {name}({', '.join(bases)})" if bases else f"class {name}"
    doc = inspect.getdoc(value) or ""
    for field in fields_to_describe(value):
        if not re.search(rf"^    {field}: ", doc, re.MULTILINE):
            raise Undocumented(f"{name}.{field} has no description")
    parts = [f"## {name}\n", code(head), documented(name, value)]
    methods = [each for each in vars(value) if not each.startswith("_")]
    parts += filter(None, (of_member(each, vars(value)[each], value) for each in methods))
    return "\n".join(parts)


def of_member(name: str, member: Any, owner: type) -> str:
    """Return the section of a method or property; empty for anything else."""
    inner = getattr(member, "fget", None) or getattr(member, "__func__", member)
    if not inspect.isfunction(inner) or inner.__name__ != name:
        return ""
    head = f"{name}" if isinstance(member, property) else signature(name, inner)
    return f"### {owner.__name__}.{name}\n\n{code(head)}\n{documented(name, getattr(owner, name))}"


def of_constant(name: str, value: Any, module: ModuleType) -> str:
    """Return the section of a constant or a type alias."""
    for where in origins(name, module):
        if text := literals(where.body).get(name):
            return f"## {name}\n\n{prose(text)}"
    if " at 0x" in repr(value):
        return f"## {name}\n\n{documented(type(value).__name__, type(value))}"
    if type(value).__module__.startswith("kvbackends"):
        return f"## {name}\n\n{plain(f'``{value!r}``')}\n"
    return f"## {name}\n\n{code(f'{name} = {value!r}')}"


def origins(name: str, module: ModuleType) -> Iterator[ast.Module]:
    """Yield the sources that a package imports the name from."""
    for node in ast.walk(tree(module.__file__ or "")):
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            yield tree(importlib.import_module(node.module or "").__file__ or "")


@cache
def tree(path: str) -> ast.Module:
    """Return the parsed source of a file."""
    return ast.parse(Path(path).read_text())


def literals(body: list[ast.stmt]) -> dict[str, str]:
    """Return the text that follows an assignment, by the assigned name."""
    found = {}
    for node, after in itertools.pairwise(body):
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(node, ast.Assign):
            target = node.targets[0]
        is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if isinstance(target, ast.Name) and is_text:
            found[target.id] = str(after.value.value)  # type: ignore[attr-defined]
    return found


def fields_to_describe(value: type) -> list[str]:
    """Return the public fields of a record, or the members of an enumeration."""
    if issubclass(value, enum.Enum):
        return list(value.__members__)
    if issubclass(value, Exception):
        return []
    annotated = vars(value).get("__annotations__", {})
    return [name for name in annotated if not name.startswith("_")]


def signature(name: str, function: Any) -> str:
    """Return the head of a function as the source has it."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    node = ast.parse(source).body[0]
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return f"{name}{inspect.signature(function)}"
    for arguments in (node.args.posonlyargs, node.args.args):
        arguments[:] = [each for each in arguments if each.arg not in {"self", "cls"}]
    back = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    start = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    return f"{start}{name}({ast.unparse(node.args)}){back}"


def documented(name: str, value: Any) -> str:
    """Return the docstring as Markdown."""
    if not (doc := inspect.getdoc(value)):
        raise Undocumented(f"{name} has no docstring")
    return prose(doc)


def code(text: str) -> str:
    """Return a block of Python."""
    return f"```python\n{text}\n```\n"


def prose(doc: str) -> str:
    """Return a docstring with its sections as lists, and its names as Markdown has them."""
    return plain(SECTION.sub(listed, doc)).strip() + "\n"


def listed(section: re.Match[str]) -> str:
    """Return a section of a docstring as a list."""
    items = [(name, " ".join(text.split())) for name, text in ITEM.findall(section[2])]
    if not items:
        return f"**{section[1]}**: {' '.join(section[2].split())}\n\n"
    lines = "".join(f"* `{name}`: {text}\n" for name, text in items)
    return f"**{section[1]}**\n\n{lines}\n"


def plain(text: str) -> str:
    """Return the text with Markdown's marks for code."""
    return text.replace("``", "`")


def pages() -> dict[Path, str]:
    """Return the text of each page."""
    return {FOLDER / f"{name}.md": page(*package) for name, package in PACKAGES.items()}
