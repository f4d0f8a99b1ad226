"""Proves the store with the shared suite."""

import pytest

from kvbackends.testing import StoreSuite


class TestMemcached(StoreSuite):
    @pytest.fixture
    def store_url(self, memcached_url):
        return memcached_url
