"""The stores of the core keep the contract; `kvbackends.testing` says what it is."""

import pytest

from kvbackends import register
from kvbackends.testing import StoreSuite
from tests.support import dict_store
from tests.support.suites import FiveMethods

register(dict_store)


class TestMemory(StoreSuite):
    url = "memory://contract"
    quick = True


class TestSQLite(StoreSuite):
    quick = True

    @pytest.fixture(scope="class")
    @classmethod
    def store_url(cls, tmp_path_factory):
        return f"sqlite:///{tmp_path_factory.mktemp('contract')}/results.db"


class TestFiveMethods(FiveMethods):
    url = "dict://contract"
