"""Generates docs/rules.md: each rule of the contract, the checks that prove it, what breaks it.

``--check`` only compares it.  A rule is what stands before a footnote's mark in docs/contract.md,
and the footnote names its checks.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kvbackends.testing import checks
from tests.broken_stores import BROKEN
from tests.broken_stores.without import WITHOUT

PAGE = Path(__file__).parent.parent / "docs" / "rules.md"
CONTRACT = PAGE.with_name("contract.md")
HEAD = """# The rules, their checks, and the stores that break them

For authors of adapters who want to know what a failing check stands for, and for everybody who
changes the suite. Generated from [the contract](contract.md) by `make docs`; `make lint` fails if
it is not up to date, if a rule has no check, a check no rule, or a check no broken store. A broken
store is a correct one with one realistic defect (`tests/broken_stores`); a test proves that the
check which is named fails on it, and passes on the correct one.
"""
_SECTION = re.compile(r"^### (.+?)\n(.*?)(?=^##|^\[\^|\Z)", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"\[\^([\w-]+)\](?!:)")
_NOTE = re.compile(r"^\[\^([\w-]+)\]: (.+?)(?=\n\[|\n\n|\Z)", re.MULTILINE | re.DOTALL)


class Rule(NamedTuple):
    """A rule of the contract."""

    section: str
    mark: str
    text: str
    checks: tuple[str, ...]


def rules(page: str) -> list[Rule]:
    """Return the rules of the contract, in its order."""
    notes = {mark: re.findall(r"`([\w.]+)`", text) for mark, text in _NOTE.findall(page)}
    return [
        Rule(section, mark, text, tuple(notes.get(mark, ())))
        for section, body in _SECTION.findall(page)
        for mark, text in _marked(body)
    ]


def _marked(body: str) -> Iterator[tuple[str, str]]:
    """Each mark, and the text between the one before it, or the paragraph's beginning, and it."""
    for paragraph in body.split("\n\n"):
        parts = _MARK.split(" ".join(paragraph.split()))
        for text, mark in zip(parts[::2], parts[1::2], strict=False):
            yield mark, text.strip(" :;,.")


def problems(page: str) -> list[str]:
    """Return what is missing between the rules, the checks and the broken stores."""
    every, found = {check.name for check in checks()}, rules(page)
    named = {name for rule in found for name in rule.checks}
    marks = Counter(rule.mark for rule in found)
    notes = {mark for mark, _ in _NOTE.findall(page)}
    broken = {each.check for each in BROKEN}
    return [
        *(f"{name}: no rule of contract.md names this check" for name in sorted(every - named)),
        *(f"{name}: contract.md names it, and it is no check" for name in sorted(named - every)),
        *(f"[^{rule.mark}]: the rule has no check" for rule in found if not rule.checks),
        *(f"[^{mark}]: the mark stands {n} times" for mark, n in marks.items() if n > 1),
        *(f"[^{mark}]: the footnote belongs to no rule" for mark in sorted(notes - marks.keys())),
        *(f"{name}: no broken store fails it" for name in sorted(every - broken - WITHOUT.keys())),
        *(f"{name}: a broken store fails it" for name in sorted(WITHOUT.keys() - (every - broken))),
    ]


def text() -> str:
    """Return the text of docs/rules.md."""
    return f"{HEAD}{''.join(_sections(rules(CONTRACT.read_text())))}{_without()}"


def _sections(found: list[Rule]) -> Iterator[str]:
    section = ""
    for rule in found:
        if rule.section != section:
            section = rule.section
            yield f"\n## {section}\n"
        yield f"\n{rule.text}.\n\n| check | broken stores |\n| --- | --- |\n"
        yield from map(_row, rule.checks)


def _row(check: str) -> str:
    stores = [each for each in BROKEN if each.check == check]
    defects = "<br>".join(f"`{each.store.__name__}`: {each.defect}" for each in stores)
    return f"| `{check}` | {(defects or 'none, see below').replace('|', '&#124;')} |\n"


def _without() -> str:
    rows = "".join(f"| `{name}` | {why} |\n" for name, why in sorted(WITHOUT.items()))
    return f"\n## Checks without a broken store\n\n| check | why |\n| --- | --- |\n{rows}"


def main() -> int:
    """Write the page, or with ``--check`` compare it; return 1 if something is missing or old."""
    if told := problems(CONTRACT.read_text()):
        print(*told, sep="\n", file=sys.stderr)
        return 1
    page = text()
    if "--check" not in sys.argv:
        PAGE.write_text(page)
    elif not PAGE.exists() or PAGE.read_text() != page:
        print(f"{PAGE.name} is outdated: run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
