"""The record of a value that was split into chunks (`kvbackends.layers.chunks`)."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from kvbackends.contract.records import Rank, RankOf

MAGIC = b"\0kvbackends chunks\0"
"""How a stored manifest begins."""

is_chunk = re.compile(r".*\.chunk-[0-9a-f]{16}-\d+", re.DOTALL).fullmatch
"""Whether a key is a chunk's."""

MOST_CHUNKS = 65_536
"""Chunks of one value.  A manifest that claims more is broken: it would be work without a bound."""


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """The record that is stored in place of a large value."""

    token: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
    count: Annotated[int, Meta(ge=1, le=MOST_CHUNKS)]
    length: Annotated[int, Meta(ge=1)]
    rank: Annotated[int, Meta(ge=0, le=int(max(Rank)))] = 0
    """Of an offered value, so that the store ranks it without its chunks."""

    def encode(self) -> bytes:
        """The stored bytes."""
        return MAGIC + msgspec.json.encode(self)

    def keys(self, base: str) -> list[str]:
        """Where the chunks are; `base` is where the manifest is."""
        return [f"{base}.chunk-{self.token}-{number}" for number in range(self.count)]


_decode = msgspec.json.Decoder(Manifest).decode


def manifest_of(stored: bytes | None) -> Manifest | None:
    """The manifest, if the stored bytes are one; None for a broken one, too."""
    if not stored or not stored.startswith(MAGIC):
        return None
    try:
        return _decode(stored[len(MAGIC) :])
    except msgspec.DecodeError:
        return None


class Ranking:
    """A `RankOf` for a store that holds manifests.

    A manifest that a plain `set` wrote has no rank, and the store may ask in the middle of a
    transaction, where no chunk can be read: such a record is kept, until its rank is `known`.
    """

    def __init__(self, rank_of: RankOf) -> None:
        self._rank_of = rank_of
        self.known: dict[bytes, Rank] = {}
        self.seen: list[bytes] = []
        """The manifests that were asked about: if the offer is stored, it has replaced them."""
        self.is_unsure = False

    def __call__(self, stored: bytes) -> Rank:
        """The rank of stored bytes."""
        manifest = manifest_of(stored)
        if manifest is None:
            return self._rank_of(stored)
        self.seen.append(stored)
        if manifest.rank:
            return Rank(manifest.rank)
        self.is_unsure = stored not in self.known
        return self.known.get(stored, Rank.SUCCEEDED)
