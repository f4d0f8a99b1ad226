"""Finds the place where a check failed in pytest's text of the failure."""

import re
from collections.abc import Iterator
from itertools import takewhile
from textwrap import dedent
from typing import NamedTuple

_LOCATION = re.compile(r"(\S+\.py:\d+): ?(in )?")
_SUITE = "kvbackends/testing/"
_HELPERS = ("tools.py", "linearizability.py", "layers.py", "delayed.py")


class Frame(NamedTuple):
    """A statement and its location."""

    location: str
    statement: str

    @property
    def is_a_checks(self) -> bool:
        """True if the statement is in a check, rather than in a helper of checks."""
        path = self.location.rpartition(":")[0]
        return _SUITE in path and not path.endswith(_HELPERS)

    @property
    def is_the_stores(self) -> bool:
        """True if the statement is outside the suite."""
        return _SUITE not in self.location


def frames(details: str) -> list[Frame]:
    """Return the frames from the check inwards."""
    return list(_frames(details.splitlines()))


def _frames(lines: list[str]) -> Iterator[Frame]:
    statement = ""
    for number, line in enumerate(lines):
        if line.startswith(">"):
            statement = _statement([f" {line[1:]}", *_indented(lines[number + 1 :], 5)])
        elif found := _LOCATION.match(line):
            is_short = found.group(2) is not None
            inner = _statement(list(_indented(lines[number + 1 :], 4)))
            yield Frame(found.group(1), inner if is_short else statement)


def _indented(lines: list[str], width: int) -> Iterator[str]:
    return takewhile(lambda line: line.startswith(" " * width), lines)


def _statement(lines: list[str]) -> str:
    return dedent("\n".join(line for line in lines if line.strip(" ^~"))).strip()


def where(details: str) -> list[Frame]:
    """Return the check's statement that failed and, if the store raised, the store's."""
    every = frames(details)
    return [
        *_last(f for f in every if f.is_a_checks),
        *_last(f for f in every[-1:] if f.is_the_stores),
    ]


def _last(found: Iterator[Frame]) -> list[Frame]:
    return list(found)[-1:]
