"""The shared suite on a real Redis."""

import pytest

from kvbackends.testing import StoreSuite


class TestRedis(StoreSuite):
    """Debian's Redis."""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, redis_url: str) -> str:
        """A server that this session has started."""
        return redis_url
