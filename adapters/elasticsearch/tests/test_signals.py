"""Handlers of signals that interrupt Elasticsearch's driver; `tests/e2e` has the other stores."""

import pytest

from tests.support.survives import survives


@pytest.mark.parametrize("handler", ["raising", "calling"])
def test_a_handler_that_interrupts_an_operation(matching_url, handler):
    """It raises, and the exception reaches the caller; or it calls the store."""
    survives(matching_url, handler)
