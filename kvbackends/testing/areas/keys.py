"""Keys and values that are nearly the same, and records of all kinds side by side."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterable

import pytest

from kvbackends.contract import Barrier, Rank, Store
from kvbackends.testing.check import Area
from kvbackends.testing.overlapped import side_by_side
from kvbackends.testing.tools import (
    TTL,
    begin,
    gathered,
    offer,
    part,
    publisher,
    race,
    rank_of,
    value_at,
    version_at,
)

HUGE = 16 << 20
"""Bytes of two values when they are unpacked; packed, they have 16 kB."""
SIMILAR = (
    *("e", "E", "\N{LATIN SMALL LETTER E WITH ACUTE}", "e\N{COMBINING ACUTE ACCENT}"),
    *("ss", "\N{LATIN SMALL LETTER SHARP S}", "fi", "\N{LATIN SMALL LIGATURE FI}"),
    *("i", "\N{LATIN SMALL LETTER DOTLESS I}", "k", "\N{KELVIN SIGN}", "1", "\N{SUPERSCRIPT ONE}"),
    *("a", "\N{FULLWIDTH LATIN SMALL LETTER A}", "\N{CYRILLIC SMALL LETTER A}"),
    *("\N{HIRAGANA LETTER A}", "\N{KATAKANA LETTER A}", "\N{KEY}", "\N{LOCK}"),
    *("\N{GREEK SMALL LETTER SIGMA}", "\N{GREEK SMALL LETTER FINAL SIGMA}"),
    *("x", "x ", " x", "x\t", "x\N{NO-BREAK SPACE}", "x\N{ZERO WIDTH SPACE}", "x\N{SOFT HYPHEN}"),
    *("x\0", "x\0y", "x\0z", "x\n", "x\r\n", "x/", "x/.", "x//", "x%00", "x+", "x%20"),
)
"""Different keys that some stores take for the same."""

SPEAKING = (
    *(b"", b"0", b"007", b"-0", b"+1", b"1.0", b"1e3", b"null", b"None", b"nil", b"true"),
    *(b'{"b": 1.0, "a" : [1e2,{}], "b":"\\u00e9\\n"}', b"[1, 2]", b'"text"', b"'quoted'"),
    *(rb"\n", rb"\x00", rb"\\", rb"\u0041", b"%s", b"%41", b"&amp;", b"=?utf-8?q?a?=", b"QUJD"),
    *(
        b" around ",
        b"\r\n",
        b"a\r\nb",
        b"line\n",
        b"\n",
        b"\0",
        b"\0\0",
        b"end\0",
        b"\xef\xbb\xbfbom",
    ),
    *(b"\xff\xfeu\0", b"$1\r\n", b"+OK\r\n", b"\x80\x04K\x01.", b"\xc3\xa9", b"\xc0\x80"),
    *(gzip.compress(b"a", mtime=0), zlib.compress(b"a"), bz2.compress(b"a"), lzma.compress(b"a")),
)
"""Values that another program would understand: numbers, documents, escapes, packed bytes."""

LONG = 10_000
"""Letters of the longest keys where the store declares no limit."""
LARGE = 1 << 20
"""Bytes of a large value where the store allows as many."""


class Keys(Area):
    """Different keys are different, and all kinds of records are read alike."""

    area = "keys"
    rule = "the-five-methods"

    def similar(self, store: Store, key: str) -> None:
        """Keys that differ in one odd letter, or in how a letter is written, are different keys."""
        _are_different(store, [f"{key}-{each}" for each in SIMILAR])

    def longest(self, store: Store, key: str) -> None:
        """Two of the longest keys that differ in one letter are different keys.

        The limit of the store is in bytes, and letters may take several.
        """
        limit = store.limits.key_bytes or LONG
        stems = [key.ljust(limit - 1, "x"), key.ljust(limit, "x"), f"{key}-é".ljust(limit - 2, "x")]
        alike = [f"{stem}{end}" for stem in stems for end in "ab"]
        half = (limit - len(key)) // 2 - 1
        _are_different(store, [*alike, f"{key}{'é' * half}a", f"{key}{'é' * half}b"])

    def read_as_bytes(self, store: Store, key: str, barrier: Barrier) -> None:
        """Every value that is read is `bytes`, whichever operation wrote and reads it."""
        kinds = _all_kinds(store, key)
        value, payload = bytes(range(256)), bytes(range(255, -1, -1))
        barrier.open(payload)
        barrier.expect(publisher(), 1)
        answer = barrier.arrive(part(0), value)
        listed = [each for _, _, each in barrier.parts()]
        read = [*(value_at(store, each) for each in kinds), *store.get_batch(kinds).values()]
        assert {type(each) for each in [*read, *listed, answer.payload]} == {bytes}
        assert (listed, answer.payload) == ([value], payload)

    def nothing_is_understood(self, store: Store, second: Store, key: str) -> None:
        """No value is read as a number, a document or packed bytes: each comes back as it was.

        Two of them are huge when they are unpacked.
        """
        # Made here: that takes a third of a second, and each process of a run imports this module.
        huge = zlib.compress(bytes(HUGE), 9), gzip.compress(bytes(HUGE), 9, mtime=0)
        limit = store.limits.value_bytes or LARGE
        fit = [each for each in (*SPEAKING, *huge) if len(each) < limit]
        values = {f"{key}-{n}": each for n, each in enumerate(fit)}
        side_by_side(lambda each: store.set(each, values[each], TTL), values)
        assert second.get_batch(list(values)) == values
        record = store.barrier(f"{key}-barrier", TTL)
        begin(record, len(fit))
        side_by_side(lambda n: record.arrive(part(n), fit[n]), range(len(fit)))
        found = gathered(second.barrier(record.name, TTL))
        assert found == {(n, f"task-{n}"): each for n, each in enumerate(fit)}
        side_by_side(lambda n: _swap(store, f"{key}-swapped-{n}", fit[n]), range(len(fit)))

    def kinds_in_one_batch(self, store: Store, key: str) -> None:
        """A batch reads plain values, numbers, sets and ranked records, each as `get` does."""
        kinds = _all_kinds(store, key)
        expected = {each: value_at(store, each) for each in kinds}
        assert store.get_batch([*kinds, f"{key}-absent"]) == expected
        store.delete_batch(kinds)
        assert store.get_batch(kinds) == {}

    @pytest.mark.parametrize("kind", ["number", "set", "record"])
    def bad_record(self, store: Store, key: str, kind: str) -> None:
        """What cannot be understood fails its own operation, is left alone, and disturbs no other.

        Another program may have written it.
        """
        bad = b"\xff{ not what was expected"
        store.set(key, bad)
        calls: dict[str, Callable[[], object]] = {
            "number": lambda: store.increment(key, 1, TTL),
            "set": lambda: store.add_member(key, "a", TTL),
            "record": lambda: store.offer(offer(key, Rank.FAILED), rank_of),
        }
        for _ in range(2):
            with pytest.raises(Exception):  # noqa: B017, PT011 - each store has an error of its own
                calls[kind]()
        assert value_at(store, key) == bad
        race(4, lambda n: _works(store, f"{key}-{n}"))

    def large_everywhere(self, store: Store, second: Store, key: str, barrier: Barrier) -> None:
        """A value of a megabyte, or of the declared limit, passes every operation unchanged."""
        size = min(store.limits.value_bytes or LARGE, LARGE)
        value = (b"3" + bytes(range(256)) * (1 + size // 256))[:size]
        assert store.compare_and_set(f"{key}-swapped", value, None)
        assert store.offer(offer(f"{key}-offered", Rank.SUCCEEDED)._replace(value=value), rank_of)
        keys = [f"{key}-swapped", f"{key}-offered"]
        assert store.get_batch(keys) == dict.fromkeys(keys, value)
        barrier.open(value[: size // 4])
        barrier.expect(publisher(), 1)
        assert barrier.arrive(part(0), value).payload == value[: size // 4]
        assert [each for _, _, each in second.barrier(barrier.name, TTL).parts()] == [value]
        assert store.compare_and_set(keys[0], value[::-1], version_at(second, keys[0]))
        assert value_at(second, keys[0]) == value[::-1]


def _swap(store: Store, key: str, value: bytes) -> None:
    assert store.compare_and_set(key, value, None, TTL)
    entry = store.get(key)
    assert entry is not None
    assert entry.value == value
    assert store.compare_and_set(key, b"another", entry.version, TTL)


def _are_different(store: Store, keys: Iterable[str]) -> None:
    values = {each: b"3%d" % n for n, each in enumerate(keys)}
    side_by_side(lambda each: store.set(each, values[each], TTL), values)
    read = dict(zip(values, side_by_side(lambda each: value_at(store, each), values), strict=True))
    assert read == values
    assert store.get_batch(list(values)) == values
    first, *others = values
    store.delete(first)
    assert store.get(first) is None
    assert set(store.get_batch(list(values))) == set(others)


def _all_kinds(store: Store, key: str) -> list[str]:
    """Write a record of each kind; their keys."""
    store.set(f"{key}-plain", b"\xff\0")
    store.increment(f"{key}-number", 7, TTL)
    store.add_member(f"{key}-set", "a", TTL)
    store.offer(offer(f"{key}-record", Rank.FAILED), rank_of)
    return [f"{key}-{kind}" for kind in ("plain", "number", "set", "record")]


def _works(store: Store, key: str) -> None:
    store.set(key, b"v", TTL)
    assert value_at(store, key) == b"v"
    assert store.offer(offer(f"{key}-record", Rank.FAILED), rank_of)
    assert store.increment(f"{key}-number", 1, TTL) == 1
    assert store.add_member(f"{key}-set", "a", TTL) == {"a"}
