"""Proves the store with the shared suite."""

import pytest

from kvbackends.testing import StoreSuite


class TestMemcached(StoreSuite):
    """Debian's memcached."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, memcached_url: str) -> str:
        """A server that this session has started."""
        return memcached_url
