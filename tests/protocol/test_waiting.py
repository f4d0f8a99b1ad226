"""The thread that serves the waits of a process."""

import logging
import time

import pytest

from kvbackends import StoreError, open_store
from kvbackends.protocol.owner import AFTER_ERROR
from kvbackends.protocol.waiting import Hub


class Refusing:
    """Stands in for a store's `get_batch`: refuses as long as it is told to."""

    def __init__(self, store):
        self.get_batch = store.get_batch
        self.refuses = True
        self.asked = 0

    def __call__(self, keys):
        self.asked += 1
        if self.refuses:
            raise StoreError("not now")
        return self.get_batch(keys)


@pytest.fixture
def store():
    return open_store("memory://waiting")


def test_an_outage_is_logged_once_and_the_wait_goes_on(store, caplog, monkeypatch):
    """One warning with its traceback for each outage, however often the store is asked in it."""
    refusing = Refusing(store)
    monkeypatch.setattr(store, "get_batch", refusing)
    hub = Hub(store, lambda _: True)
    with caplog.at_level(logging.WARNING):
        for outage in (1, 2):
            refusing.refuses, asked = True, refusing.asked
            # Of one key alone no batch is read.
            with hub.wait_for([f"key-{outage}", "never"]) as wait:
                while refusing.asked < asked + 3:
                    time.sleep(AFTER_ERROR / 5)
                assert not wait.take(0)
                store.set(f"key-{outage}", b"value")
                refusing.refuses = False
                assert wait.take(10) == [(f"key-{outage}", b"value")]
            warnings = [each for each in caplog.records if "trying again" in each.message]
            assert len(warnings) == outage
            assert all(each.exc_info for each in warnings)
    hub.close()
