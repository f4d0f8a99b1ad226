"""The space of expired keys, which AUTOEXPIRE promises to give back."""

import time
import tracemalloc

import pytest

from kvbackends.contract import Feature, Store, StoreURL
from kvbackends.layers.layer import innermost
from kvbackends.testing.check import Area, last, requires
from kvbackends.testing.tools import SHORT, TTL, outlive

ROUNDS, KEYS, SIZE = 4, 50, 1 << 15
"""Keys that expire in each round, and the bytes of their values."""
PATIENCE = 10.0
"""Seconds within which expired keys go, while others are written."""


class Freeing(Area):
    """Expired keys take no space."""

    area = "freeing"
    rule = "features"
    alone = True

    @last
    @requires(Feature.AUTOEXPIRE)
    def expired_keys_go(self, store: Store, store_url: str, key: str) -> None:
        """What has expired leaves this process's memory, where the store promises AUTOEXPIRE.

        How much a server holds cannot be seen from here.
        """
        if innermost(store).server is not None or StoreURL.parse(store_url).hosts:
            pytest.skip("how much its server holds cannot be seen from here")
        value = bytes(min(store.limits.value_bytes or SIZE, SIZE) - 1)
        written = ROUNDS * KEYS * len(value)
        tracemalloc.start()
        try:
            for n in range(ROUNDS * KEYS):
                store.set(f"{key}-{n}", b"%d" % (n % 10) + value, SHORT)
                if n % KEYS == KEYS - 1:
                    outlive(store)
            until = time.monotonic() + PATIENCE
            while (held := tracemalloc.get_traced_memory()[0]) > written / 2:
                assert time.monotonic() < until, f"{held:,} bytes stay of {written:,} that expired"
                store.set(f"{key}-last", b"v", TTL)
                time.sleep(SHORT)
        finally:
            tracemalloc.stop()
