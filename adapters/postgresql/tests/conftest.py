"""Fixtures: a server that tests may trouble, and stores on it."""

import pytest

from kvbackends import open_store
from tests.servers import postgresql_server


@pytest.fixture(scope="module")
def server():
    """A server of this module's own."""
    with postgresql_server() as started:
        yield started


@pytest.fixture
def opened():
    """A function that opens a store, with retries unless told otherwise."""
    stores = []

    def open_one(url, **options):
        settings = {"result_backend_transport_options": {"retry": False, **options}}
        stores.append(open_store(url, settings))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()
