"""A signal's handler that interrupts operations of a store: none hangs, no exception is lost."""

import pytest

from tests.support.suites import java_is_slow
from tests.support.survives import survives

STORES = [
    *("memory", "sqlite", "redis", "memcached", "mongodb", "postgresql"),
    *("elasticsearch", "cassandra"),
]


@pytest.fixture(params=java_is_slow(STORES))
def url(request, tmp_path):
    """The URL of each store, as a forked or spawned process opens it."""
    if request.param == "memory":
        return "memory://signals"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/results.db"
    return request.getfixturevalue(f"{request.param}_url")


@pytest.mark.parametrize("handler", ["raising", "calling"])
@pytest.mark.parametrize("times", [12, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_handler_that_interrupts_an_operation(url, handler, times):
    """It raises, and the exception reaches the caller; or calls the store, or is refused."""
    survives(url, handler, times)
