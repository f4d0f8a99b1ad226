"""Rules for the whole source: imports, sizes, pins."""

import ast
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "kvbackends").rglob("*.py"))
ADAPTER_MODULES = sorted(ROOT.glob("adapters/*/kvbackends_*/**/*.py"))
PINS = sorted((ROOT / "requirements").glob("*.txt"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ------------------------------------------------------------------------------------- imports


def test_imports_point_one_way():
    """The contracts stand in pyproject.toml, under tool.importlinter."""
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_importing_the_package_imports_neither_celery_nor_a_driver():
    script = "import sys, kvbackends; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True).split()
    heavy = {
        "celery", "kombu", "billiard", "redis", "pymongo", "elasticsearch", "cassandra",
        "pymemcache", "psycopg", "sqlite3", "hypothesis", "pytest", "rich",
    }  # fmt: skip
    assert heavy.isdisjoint(loaded)


def imported(module: Path) -> Iterator[str]:
    """Return the full names of a module's imports, also of those inside functions."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module)


PUBLIC = {"kvbackends", "kvbackends.contract", "kvbackends.testing"}


def foreign(name: str, own: str) -> bool:
    """Whether an adapter must not import this: Celery, another adapter, or the core's insides."""
    top = name.partition(".")[0]
    inside = top == "kvbackends" and name not in PUBLIC
    other = top.startswith("kvbackends_") and top != own
    return inside or other or top in {"celery", "kombu", "billiard", "vine"}


def test_adapters_import_only_the_public_package():
    offences = [
        f"{relative(module)} imports {name}"
        for module in ADAPTER_MODULES
        for name in imported(module)
        if foreign(name, module.relative_to(ROOT / "adapters").parts[1])
    ]
    assert offences == []


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("kvbackends", False),
        ("kvbackends.testing", False),
        ("kvbackends.contract.stepwise", True),
        ("kvbackends_redis.client", False),
        ("redis", False),
        ("kvbackends.layers", True),
        ("kvbackends_mongodb", True),
        ("celery.result", True),
    ],
)
def test_the_rule_for_adapters_recognises_imports(name, refused):
    assert foreign(name, own="kvbackends_redis") is refused


# --------------------------------------------------------------------------------------- sizes


def test_no_module_is_longer_than_300_lines():
    modules = [*MODULES, *ADAPTER_MODULES]
    lengths = {relative(module): len(module.read_text().splitlines()) for module in modules}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def functions() -> Iterator[tuple[str, int]]:
    """Yield the place and the length of every function with a body."""
    for module in [*MODULES, *ADAPTER_MODULES]:
        source = module.read_text()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, Function) and (length := body_length(node, source)):
                yield f"{relative(module)}:{node.lineno} {node.name}", length


def body_length(function: Function, source: str) -> int:
    """Return the lines of code, without docstring, comments and blank lines; 0 for a stub."""
    body = [node for node in function.body if not is_docstring_or_ellipsis(node)]
    if not body:
        return 0
    lines = source.splitlines()[body[0].lineno - 1 : body[-1].end_lineno]
    return sum(1 for line in lines if line.strip() and not line.lstrip().startswith("#"))


def is_docstring_or_ellipsis(node: ast.stmt) -> bool:
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return constant and (node.value.value is ... or isinstance(node.value.value, str))


def test_functions_are_short():
    """Median at most 5 lines, nine of ten at most 15, none above 40."""
    lengths = dict(functions())
    by_length = sorted(lengths, key=lengths.__getitem__, reverse=True)
    report = "\n".join(f"{lengths[name]:3} {name}" for name in by_length[: len(lengths) // 10 + 1])
    assert statistics.median(lengths.values()) <= 5, report
    assert sum(length > 15 for length in lengths.values()) <= len(lengths) * 0.1, report
    assert max(lengths.values()) <= 40, report


@pytest.mark.parametrize(
    ("source", "length"),
    [
        ("def f(): ...", 0),
        ("def f():\n    'Only a docstring.'", 0),
        ("def f():\n    '''A docstring\n    of two lines.'''\n    return 1", 1),
        ("def f():\n    # why\n    a = 1\n\n    return (\n        a\n    )", 4),
    ],
)
def test_only_code_counts_as_a_line_of_a_function(source, length):
    [function] = ast.parse(source).body
    assert isinstance(function, Function)
    assert body_length(function, source) == length


# ---------------------------------------------------------------------------------------- pins

# The address of a package index: the machine's settings decide where packages come from.
ADDRESS = re.compile(
    r"pypi\.org|pythonhosted\.org|(repo1?|central)\.maven\.|deb\.debian\.org"
    r"|--(extra-)?index-url[ =]+\S*//|--find-links[ =]+\S*//|index_url *="
)


def tracked() -> list[Path]:
    """Yield every file that git tracks or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.check_output(command, cwd=ROOT, text=True).split("\0")
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_no_file_names_a_package_index():
    offences = [
        f"{relative(path)}: {found[0]}"
        for path in tracked()
        if (found := ADDRESS.search(path.read_text(errors="replace")))
    ]
    assert offences == []


@pytest.mark.parametrize(
    "text",
    [
        "https://pypi" + ".org/simple",
        "https://files.python" + "hosted.org/packages/",
        "--index-url" + " https://example/",
        "https://repo" + ".maven.example/maven2",
    ],
)
def test_an_address_is_recognized(text):
    assert ADDRESS.search(text)


def test_the_lock_file_with_addresses_is_ignored():
    subprocess.run(["git", "check-ignore", "--quiet", "uv.lock"], cwd=ROOT, check=True)


@pytest.mark.parametrize("pins", PINS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_with_a_hash(pins):
    entries = re.split(r"\n(?=\S)", pins.read_text())
    requirements = [entry for entry in entries if entry.strip() and not entry.startswith("#")]
    assert requirements
    assert [entry for entry in requirements if "==" not in entry or "--hash=" not in entry] == []


@pytest.mark.parametrize(
    "source", sorted((ROOT / "requirements").glob("*.in")), ids=lambda p: p.name
)
def test_every_list_of_requirements_is_compiled(source):
    assert source.with_suffix(".txt") in PINS


def test_scripts_are_executable():
    """A script that starts with `#!` is; modules that Python runs need not be."""
    scripts = [path for path in tracked() if path.read_bytes().startswith(b"#!")]
    assert ROOT / ".ci/run" in scripts
    assert [relative(path) for path in scripts if not os.access(path, os.X_OK)] == []


# --------------------------------------------------------------------------------------- pages

LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")
PAGES = [path for path in tracked() if path.suffix == ".md"]


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_relative_link_of_a_page_leads_to_a_file(page):
    targets = LINK.findall(page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


OUTSIDE = re.compile(r"\]\((\w+:[^)\s]*)")


def outside() -> list[str]:
    """Return the addresses outside of the project that pages link to."""
    return [address for page in PAGES for address in OUTSIDE.findall(page.read_text())]


def test_links_to_the_outside_are_well_formed():
    """They are not fetched: a test must not depend on other machines."""
    assert len(outside()) > 3
    assert [address for address in outside() if not is_well_formed(address)] == []


def test_a_page_of_the_outside_has_one_address():
    """Written in two ways, one of which may have moved, it would be mended in one place only."""
    bare = {address: address.partition("#")[0].rstrip("/").lower() for address in outside()}
    pages = {address.partition("#")[0] for address in bare}
    assert len(pages) == len({*bare.values()}), sorted(pages)


def is_well_formed(address: str) -> bool:
    found = urlsplit(address)
    host = re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", found.netloc)
    anchor = re.fullmatch(r"[\w.:-]*", found.fragment)
    return found.scheme == "https" and bool(host and anchor) and not found.query


@pytest.mark.parametrize(
    "address", ["http://a.example/b", "https://a.example:80/", "https:/a.example/", "https://a"]
)
def test_a_malformed_address_is_recognized(address):
    assert not is_well_formed(address)


def test_relative_links_are_recognized():
    text = "[a](docs/a.md) [b](../b.md#part) [c](#part) [d](https://example/d.md)"
    assert LINK.findall(text) == ["docs/a.md", "../b.md"]
