"""What stands for a value that was split into chunks (`kvbackends.layers.chunks`)."""

import re
from collections.abc import Mapping

import msgspec

MAGIC = b"\0kvbackends chunks\0"
"""How a stored manifest begins."""

is_chunk = re.compile(r".*\.chunk-[0-9a-f]{16}-\d+", re.DOTALL).fullmatch
"""Whether a key is a chunk's."""


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """What is stored in place of a large value."""

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
