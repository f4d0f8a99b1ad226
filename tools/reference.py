"""Writes docs/reference.md from the code: ``python tools/reference.py [--check]``."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import msgspec

from kvbackends import Feature, Options
from kvbackends.options import CoreOptions, declared
from kvbackends.plugins.registry import adapter_for, installed

PAGE = Path(__file__).parent.parent / "docs" / "reference.md"

HEAD = """# Reference

Generated from the code by `make docs`; `make lint` fails when it is not up to date.

An option stands in the URL, as in `kv+sqlite:///results.db?synchronous=FULL`, or in
`result_backend_transport_options`, or in the Celery setting that is named, in this order.
"""


def page() -> str:
    """The whole text."""
    sections = [HEAD, options_section("Options of every URL", CoreOptions), features_section()]
    for name, scheme in stores():
        options_type = adapter_for(scheme).store.options_type
        if msgspec.structs.fields(options_type):
            sections.append(options_section(f"Options of {name}", options_type))
    return "\n".join(sections)


def stores() -> Iterator[tuple[str, str]]:
    """The first scheme of each installed store, with the store's class name."""
    seen = set()
    for scheme in installed():
        store = adapter_for(scheme).store
        if store not in seen:
            seen.add(store)
            yield f"`{scheme}://`", scheme


def options_section(title: str, options_type: type[Options]) -> str:
    """One table of options."""
    fields = {field.name: field for field in msgspec.structs.fields(options_type)}
    rows = (
        (
            f"`{each.name}`",
            type_name(each.type),
            f"`{fields[each.name].default}`",
            f"`{each.setting}`" if each.setting else "",
            each.help,
        )
        for each in declared(options_type)
    )
    return f"## {title}\n\n{table(('option', 'type', 'default', 'setting', 'meaning'), rows)}"


def features_section() -> str:
    """What each store advertises."""
    columns = list(stores())
    flags = [flag for flag in Feature if flag is not Feature.NONE]
    rows = (
        (f"`{flag.name}`", *("yes" if flag in features(s) else "" for _, s in columns))
        for flag in flags
    )
    note = (
        "\nEvery operation works on every store: what a store does not do natively is derived from "
        "five methods.\nWhat cannot be derived is listing (`LISTING`, `FACETS`).\n"
    )
    heading = ("feature", *(name for name, _ in columns))
    return f"## Features\n\n{table(heading, rows)}{note}"


def features(scheme: str) -> Feature:
    """The class's promises, and what its overrides show."""
    store = adapter_for(scheme).store
    return store.features.fget(store.__new__(store))  # type: ignore[attr-defined,no-any-return]


def type_name(hint: object) -> str:
    """A type as a user writes its values."""
    kind = get_args(hint)[0] if get_args(hint) else hint
    choices = get_args(kind)
    return " or ".join(map(str, choices)) if choices else getattr(kind, "__name__", str(kind))


def table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [heading, tuple("---" for _ in heading), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    """Write the page, or with ``--check`` only compare."""
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text)
        return 0
    if PAGE.read_text() == text:
        return 0
    print("docs/reference.md is not what the code says: run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
