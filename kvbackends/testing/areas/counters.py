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
        assert store.increment(key, -1, None) == 9
        assert value_at(store, key) == b"9", "fewer digits are no decimal of the old width"

    def large(self, store: Store, key: str) -> None:
        """Sums above 60 bits are exact."""
        assert store.increment(key, 2**60, None) == 2**60
        assert store.increment(key, 1, None) == 2**60 + 1

    def any_length(self, store: Store, key: str) -> None:
        """Sums have as many digits as they need, above and below zero."""
        for sign in (1, -1):
            each, large = f"{key}{sign}", sign * 10**30
            assert store.increment(each, large, None) == large
            assert [store.increment(each, by, None) for by in (sign, 2**63, -(2**63))] == [
                large + sign,
                large + sign + 2**63,
                large + sign,
            ]
            assert int(value_at(store, each)) == large + sign
            assert store.increment(each, -large, None) == sign

    def ttl(self, store: Store, key: str) -> Waits:
        """A counter expires like any key, and then starts from 0."""
        store.increment(key, 5, SHORT)
        yield SHORT
        assert store.increment(key, 1, None) == 1
