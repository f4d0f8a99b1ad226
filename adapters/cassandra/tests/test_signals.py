"""Handlers of signals that interrupt Cassandra's driver; `tests/e2e` has the other stores."""

import pytest

from tests.support.survives import survives


@pytest.mark.parametrize("handler", ["raising", "calling"])
def test_a_handler_that_interrupts_an_operation(cassandra_url, handler):
    """It raises, and the exception reaches the caller; or it calls the store."""
    survives(cassandra_url, handler)
