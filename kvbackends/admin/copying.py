"""Copies results and groups from one place to another; again is safe."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import msgspec

from kvbackends.admin.records import Wanted
from kvbackends.admin.sources import Item, Source, open_source
from kvbackends.backend.backend import BaseKeyValueStoreBackend
from kvbackends.backend.results import text
from kvbackends.contract.derived import concurrently, get_many
from kvbackends.contract.records import Offer, Rank
from kvbackends.contract.url import StoreURL
from kvbackends.errors import ValueTooLarge
from kvbackends.layers.layer import innermost


class Copied(msgspec.Struct):
    """What became of the records."""

    copied: int = 0
    present: int = 0
    """The target had the same record, or a better one."""
    expired: int = 0
    """Their time was over, or they were deleted while they were copied."""
    refused: int = 0
    """Too large for the target; `problems` names some."""
    differ: int = 0
    """With `verify`: read back, the target had neither the same record nor a better one."""
    problems: list[str] = []
    seconds: float = 0.0

    @property
    def seen(self) -> int:
        """All of them."""
        return self.copied + self.present + self.expired + self.refused

    @property
    def ok(self) -> bool:
        """True if everything that lives is in the target."""
        return not (self.refused or self.differ)


MOST_PROBLEMS = 10
SOON = 60.0
"""Seconds."""


class Copy:
    """Copies into one backend.

    Args:
        target: Where the records go.
        dry_run: Count only: what would be copied.
        verify: Read back what was written.
    """

    def __init__(
        self, target: BaseKeyValueStoreBackend, *, dry_run: bool = False, verify: bool = False
    ) -> None:
        self._target = target
        self._dry_run = dry_run
        self._verify = verify
        self._group_prefix = text(target.group_keyprefix)
        # On SQLite eight threads take half as long again as one.
        is_named = bool(StoreURL.parse(target.url).hosts)
        self._is_remote = is_named or innermost(target.store).server is not None
        self.done = Copied()

    def run(
        self, url: str, wanted: Wanted, progress: Callable[[Copied], object] = lambda _: None
    ) -> Copied:
        """Copy from the source at `url`; groups, too, unless results are filtered."""
        began = time.monotonic()
        with closing(open_source(url, self._target)) as source:
            for items in self._batches(source, wanted):
                self._copy(items)
                self.done.seconds = time.monotonic() - began
                progress(self.done)
        return self.done

    def _batches(self, source: Source, wanted: Wanted) -> Iterator[list[Item]]:
        yield from source.tasks(wanted)
        if wanted == Wanted():
            yield from source.groups()

    def _copy(self, items: list[Item]) -> None:
        keys = {self._key(item): item for item in items}
        there = dict(get_many(self._target.store, list(keys))) if keys else {}
        due = []
        for key, item in keys.items():
            if item.ttl is not None and item.ttl <= 0:
                self.done.expired += 1
            elif there.get(key) == item.value:
                self.done.present += 1
            else:
                due.append(key)
        # There is no batch of ranked writes: each layer that changes bytes would have to know it.
        each_of = concurrently if self._is_remote else map
        ends = each_of(lambda key: self._put(key, keys[key], there.get(key)), due)
        written = [key for key, end in zip(due, ends, strict=True) if self._count(keys[key], end)]
        if self._verify and not self._dry_run:
            self._check(keys, written)

    def _key(self, item: Item) -> str:
        return self._group_prefix + item.id if item.info is None else self._target.key_of(item.id)

    def _put(self, key: str, item: Item, there: bytes | None) -> bool | Exception:
        """Write one record; true if it is in the target now, or the error that refused it."""
        try:
            return self._would(item, there) if self._dry_run else self._stored(key, item)
        except (ValueTooLarge, ValueError) as error:
            return error

    def _count(self, item: Item, end: bool | Exception) -> bool:
        """Count the end of a write; true if the record was written."""
        if isinstance(end, Exception):
            self.done.refused += 1
            if len(self.done.problems) < MOST_PROBLEMS:
                self.done.problems.append(f"{item.id}: {end}")
            return False
        self.done.copied += end
        self.done.present += not end
        return end

    def _would(self, item: Item, there: bytes | None) -> bool:
        largest = self._target.store.limits.value_bytes
        if largest is not None and len(item.value) > largest:
            raise ValueTooLarge(f"{len(item.value):,} bytes are above the limit of {largest:,}")
        if there is None or item.info is None:
            return there is None
        rank_of = self._target.ranks.rank_of
        return rank_of(there).yields_to(rank_of(item.value))

    def _stored(self, key: str, item: Item) -> bool:
        store, rank_of = self._target.store, self._target.ranks.rank_of
        if item.info is None:
            return store.compare_and_set(key, item.value, None, item.ttl)
        facets = self._facets(item) if self._target.has_facets else {}
        offer = Offer(key, item.value, rank_of(item.value), item.ttl, facets)
        return store.offer(offer, rank_of)

    def _facets(self, item: Item) -> dict[str, str]:
        info: Any = item.info
        done = info.done.isoformat() if info.done else ""
        found = {"state": info.state, "task": info.task, "worker": info.worker, "done": done}
        return {name: value for name, value in found.items() if value}

    def _check(self, keys: dict[str, Item], written: list[str]) -> None:
        """Read back; a record of the same or of a better rank may have come in between."""
        found, rank_of = dict(get_many(self._target.store, written)), self._target.ranks.rank_of
        for key in written:
            value, mine = found.get(key), keys[key].value
            is_newer = value is not None and rank_of(value) >= rank_of(mine) > Rank.UNREADY
            if value != mine and not is_newer and not self._is_short(keys[key]):
                self.done.differ += 1

    def _is_short(self, item: Item) -> bool:
        """True if it may have expired since it was written."""
        return item.ttl is not None and item.ttl < SOON
