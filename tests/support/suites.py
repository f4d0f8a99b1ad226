"""Base classes for the suites of several folders."""

from collections.abc import Iterable
from typing import Any

import pytest

from kvbackends.testing import StoreSuite

DERIVED = pytest.param("derived", marks=pytest.mark.slow)


def java_is_slow(stores: Iterable[str]) -> list[Any]:
    """The stores as parameters of a test; those with Java are marked slow.

    Their servers take half a minute to start: `make test` starts them for the adapters' own tests.
    """
    java = ("elasticsearch", "cassandra")
    return [pytest.param(each, marks=pytest.mark.slow) if each in java else each for each in stores]


class FiveMethods(StoreSuite):
    """For a store with the five methods and nothing else: natively there is nothing to prove."""

    quick = True

    @pytest.fixture(params=["derived"])
    def mode(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)


class Repeated(StoreSuite):
    """For a store whose derived forms are proven elsewhere: another version, connection or layer.

    The derived forms use five methods only, so there they are repeated by `make test-all` alone.
    """

    quick = True

    @pytest.fixture(params=["native", DERIVED])
    def mode(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)
