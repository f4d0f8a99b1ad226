"""Compresses and unpacks records, up to a size: a few hundred KB may become hundreds of MB."""

import bz2
import importlib
import lzma
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from kombu.exceptions import DecodeError

from kvbackends.backend.compat import COMPRESSED, compress_payload
from kvbackends.errors import ValueTooLarge

LZMA_MEMORY = 256 << 20
"""Most bytes that the decompressor of LZMA takes beside its output."""
BROTLI_STEP = 64
"""Bytes that are unpacked at a time; few enough that the output of a step is no danger."""


class RecordTooLarge(DecodeError, ValueTooLarge):
    """A record would be larger than `unpacked_mb` once it is unpacked."""


def _zstd() -> Any:
    return importlib.import_module(
        "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    ).ZstdDecompressor()


class _Brotli:
    """Unpacks in steps, and counts: not every version of the library can limit its output."""

    def __init__(self) -> None:
        try:
            library = importlib.import_module("brotli")
        except ImportError:
            library = importlib.import_module("brotlicffi")  # PyPy's
        self._steps = library.Decompressor()

    @property
    def eof(self) -> bool:
        return bool(self._steps.is_finished())

    def decompress(self, data: bytes, most: int) -> bytes:
        found = bytearray()
        for start in range(0, len(data), BROTLI_STEP):
            found += self._steps.process(data[start : start + BROTLI_STEP])
            if len(found) >= most:
                break
        return bytes(found)


_UNPACKERS: Mapping[bytes, Callable[[], Any]] = {
    b"application/x-gzip": zlib.decompressobj,
    b"application/x-bz2": bz2.BZ2Decompressor,
    b"application/x-lzma": lambda: lzma.LZMADecompressor(memlimit=LZMA_MEMORY),
    b"application/x-brotli": _Brotli,
    b"application/zstd": _zstd,
}
"""All of kombu's methods, by their content types."""


def packed(payload: bytes | str, method: str, largest: int) -> bytes:
    """The payload as Celery compresses it; raises `ValueTooLarge` if no reader would unpack it."""
    if len(payload) > largest:
        raise ValueTooLarge(
            f"a record of {len(payload)} bytes is above the limit of {largest} for compressed "
            "records; return less, or raise unpacked_mb for all readers and writers"
        )
    return compress_payload(payload, method)


def unpacked(payload: Any, largest: int) -> Any:
    """The payload; if Celery has compressed it, what it was before.

    Raises `RecordTooLarge` if that has more than `largest` bytes.  A method that is
    registered with kombu by the application is left to kombu, which unpacks the whole.
    """
    if COMPRESSED is None or type(payload) is not bytes or not payload.startswith(COMPRESSED):
        return payload
    method, _, body = payload[len(COMPRESSED) :].partition(b"\0")
    make = _UNPACKERS.get(method)
    if make is None:
        return payload
    unpacker = make()
    found: bytes = unpacker.decompress(body, largest + 1)
    if len(found) > largest:
        raise RecordTooLarge(
            f"a compressed record of {len(payload)} bytes has more than {largest} once it is "
            "unpacked, and is not read; raise unpacked_mb if it is meant to be so large"
        )
    if not unpacker.eof or found.startswith(COMPRESSED):
        raise DecodeError("a compressed record is cut, or was compressed twice")
    return found
