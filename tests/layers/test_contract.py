"""The conformance suite on stores behind layers that change bytes; `make test`: each store once."""

import pytest

from tests.layers import stores
from tests.support.suites import FiveMethods, Repeated


class OnSQLite(Repeated):
    scheme = ""

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, tmp_path_factory):
        return f"{cls.scheme}:///{tmp_path_factory.mktemp(cls.scheme)}/results.db"


class TestCrumbsSQLite(OnSQLite):
    scheme = "crumbs-sqlite"


@pytest.mark.slow
class TestScrambledSQLite(OnSQLite):
    scheme = "scrambled-sqlite"


class TestCrumbsDict(FiveMethods):
    url = "crumbs-dict://contract"


@pytest.mark.slow
class TestScrambledDict(FiveMethods):
    url = "scrambled-dict://contract"


@pytest.mark.slow
class TestCrumbsMemory(Repeated):
    url = "crumbs-memory://contract"


class TestScrambledMemory(Repeated):
    url = "scrambled-memory://contract"


def test_stores_are_behind_their_layers():
    """Otherwise the checks of this module would prove nothing."""
    for scheme, store in stores.SCHEMES.items():
        assert scheme.startswith("limited") or issubclass(store, stores.Layered)
