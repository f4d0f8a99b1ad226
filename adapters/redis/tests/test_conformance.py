"""The shared suite on a real Redis."""

import pytest

from kvbackends.testing import StoreSuite


class TestRedis(StoreSuite):
    """Debian's Redis."""

    @classmethod
    @pytest.fixture(scope="class")
    def store_url(cls, redis_url: str) -> str:
        """A server that this session has started."""
        return redis_url
