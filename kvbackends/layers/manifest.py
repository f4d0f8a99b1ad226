"""The record of a value that was split into chunks (`kvbackends.layers.chunks`)."""

import re
from collections.abc import Mapping

import msgspec

from kvbackends.contract.records import Rank, RankOf

MAGIC = b"\0kvbackends chunks\0"
"""How a stored manifest begins."""

is_chunk = re.compile(r".*\.chunk-[0-9a-f]{16}-\d+", re.DOTALL).fullmatch
"""Whether a key is a chunk's."""


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """The record that is stored in place of a large value."""

    token: str
    count: int
    length: int
    rank: int = 0
    """Of an offered value, so that the store ranks it without its chunks."""

    def encode(self) -> bytes:
        """The stored bytes."""
        return MAGIC + msgspec.json.encode(self)

    def keys(self, base: str) -> list[str]:
        """Where the chunks are; `base` is where the manifest is."""
        return [f"{base}.chunk-{self.token}-{number}" for number in range(self.count)]

    def joined(self, base: str, found: Mapping[str, bytes]) -> bytes | None:
        """The value; None if a chunk is missing."""
        value = b"".join(found.get(key, b"") for key in self.keys(base))
        return value if len(value) == self.length else None


_decode = msgspec.json.Decoder(Manifest).decode


def manifest_of(stored: bytes | None) -> Manifest | None:
    """The manifest, if the stored bytes are one."""
    is_manifest = stored is not None and stored.startswith(MAGIC)
    return _decode(stored[len(MAGIC) :]) if stored and is_manifest else None


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
