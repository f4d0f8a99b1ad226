"""The members of a barrier, spread over pages by a hash.

An arriving part rewrites one page, so that it costs the same in a header of 10 and of 10,000.
Measured: with one page for all, a part of 10,000 costs more than twice a part of 100.
"""

import zlib
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from kvbackends.contract.derived import Operations, Primitives, delete_many, get_many, update
from kvbackends.contract.records import Part

PAGES = 256
"""With 10,000 parts a page is about 2 KB, the control record with its counts below 1 KB."""

_decode = msgspec.json.Decoder(list[str]).decode


class Run(NamedTuple):
    """Where the parts of one run of a barrier are kept."""

    barrier: str
    run: str

    @property
    def about(self) -> str:
        """The key of what the run's publisher kept."""
        return f"{self.barrier}.{self.run}.a"

    def page(self, number: int) -> str:
        """The key of a page."""
        return f"{self.barrier}.{self.run}.p{number}"

    def value(self, place: int, member: str) -> str:
        """The key of a part's value."""
        return f"{self.barrier}.{self.run}.v{place}:{member}"


def page_of(part: Part) -> int:
    """The number of the page that lists this part."""
    return zlib.crc32(part.member.encode()) % PAGES


def add_member(store: Primitives, key: str, member: str, ttl: float | None) -> frozenset[str]:
    """Put `member` into the set at `key`, once; all its members now."""

    def with_member(old: bytes | None) -> bytes:
        members = [] if old is None else _decode(old)
        if member not in members:
            members.append(member)
        return msgspec.json.encode(members)

    return frozenset(_decode(update(store, key, with_member, ttl) or b"[]"))


def record(store: Operations, run: Run, part: Part, value: bytes, ttl: float | None) -> int:
    """Record a part once, value first: a member that is listed has a value.

    Returns the number of members on its page.
    """
    store.compare_and_set(run.value(part.place, part.member), value, None, ttl)
    return len(store.add_member(run.page(page_of(part)), f"{part.place}:{part.member}", ttl))


def members(store: Operations, run: Run, pages: Iterable[int]) -> list[tuple[int, str]]:
    """The parts listed on these pages, as (place, member)."""
    found = get_many(store, [run.page(number) for number in pages])
    listed = (text.partition(":") for _, page in found for text in _decode(page))
    return [(int(place), member) for place, _, member in listed]


def discard(store: Operations, run: Run, pages: Iterable[int]) -> None:
    """Remove what is recorded on these pages.

    Values first: pages are what finds them, if this is cut short and done again.
    """
    numbers = list(pages)
    delete_many(store, [run.value(*each) for each in members(store, run, numbers)])
    delete_many(store, [run.page(number) for number in numbers])


def forget(store: Operations, run: Run, part: Part) -> None:
    """Undo `record` for a part that came after the tombstone.

    Its page goes with all that is listed there: who closed the barrier may have yet to read it.
    """
    store.delete(run.value(part.place, part.member))
    discard(store, run, [page_of(part)])
