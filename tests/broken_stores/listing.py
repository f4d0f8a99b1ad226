"""Listings that name too much or too little."""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from tests.broken_stores.reference import ReferenceStore
from tests.broken_stores.registry import caught_by


@caught_by("listing.wildcards_are_letters")
class PrefixIsAGlob(ReferenceStore):
    """The prefix is matched as a glob, and a ``*`` or ``?`` in it stands for anything (SCAN)."""

    def scan(self, prefix: str) -> Iterator[str]:
        return (key for key in super().scan("") if fnmatch.fnmatchcase(key, f"{prefix}*"))


@caught_by("listing.wildcards_are_letters")
class PrefixIsLike(ReferenceStore):
    """The prefix is matched by LIKE, and a ``%`` or ``_`` in it stands for anything."""

    def scan(self, prefix: str) -> Iterator[str]:
        pattern = re.escape(prefix).replace("%", ".*").replace("_", ".")
        return (key for key in super().scan("") if re.match(pattern, key, re.DOTALL))


@caught_by("listing.lists_a_prefix")
class ListsExpired(ReferenceStore):
    """Keys that have expired are listed, also when they are swept: the index is never mended."""

    _swept: ClassVar[set[str]] = set()

    def sweep(self, limit: int = 1000) -> int:
        with self.world() as world:
            before = set(world.rows)
            count = world.sweep(limit)
            self._swept.update(before - set(world.rows))
            return count

    def scan(self, prefix: str) -> Iterator[str]:
        with self.world() as world:
            return iter([key for key in {*world.rows, *self._swept} if key.startswith(prefix)])


@caught_by("listing.lists_a_prefix")
class PrefixAnywhere(ReferenceStore):
    """Keys are listed that differ from the prefix in case (LIKE of SQLite and MySQL)."""

    def scan(self, prefix: str) -> Iterator[str]:
        return (key for key in super().scan("") if key.lower().startswith(prefix.lower()))


@caught_by("listing.finds_by_facets")
class FindsAnyFacet(ReferenceStore):
    """Records are found that have one of the facets that were asked for, instead of all."""

    def find(self, facets: Mapping[str, str]) -> Iterable[str] | None:
        return {key for each in facets.items() for key in super().find(dict([each])) or ()}
