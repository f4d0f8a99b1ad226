"""Counters."""

from kvbackends.contract import Store
from kvbackends.testing.check import Area
from kvbackends.testing.delayed import Waits
from kvbackends.testing.tools import SHORT, value_at


class Counters(Area):
    """Decimal numbers that several callers increment."""

    area = "counters"
    rule = "counters"

    def counts_from_nothing(self, store: Store, key: str) -> None:
        """An absent number counts as 0, and `increment` returns the sum."""
        assert [store.increment(key, by, None) for by in (1, 41, -2)] == [1, 42, 40]

    def is_a_decimal(self, store: Store, key: str) -> None:
        """The number is stored in decimal, so that other programs read and write it."""
        store.set(key, b"7")
        assert store.increment(key, 3, None) == 10
        assert value_at(store, key) == b"10"

    def large(self, store: Store, key: str) -> None:
        """Sums above 60 bits are exact."""
        assert store.increment(key, 2**60, None) == 2**60
        assert store.increment(key, 1, None) == 2**60 + 1

    def ttl(self, store: Store, key: str) -> Waits:
        """A counter expires like any key, and then starts from 0."""
        store.increment(key, 5, SHORT)
        yield SHORT
        assert store.increment(key, 1, None) == 1
