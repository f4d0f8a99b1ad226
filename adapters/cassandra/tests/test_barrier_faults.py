"""A process's memory of a barrier must not hide changes by other processes."""

from uuid import uuid4

import pytest

from kvbackends import open_store
from kvbackends.contract import SIZE_PLACE, Outcome, Rank
from kvbackends.testing.tools import part


@pytest.fixture
def processes(cassandra_url):
    """Two stores with separate memories, as in two processes."""
    settings = {"result_backend_transport_options": {"retry": False}}
    both = [open_store(cassandra_url, settings) for _ in range(2)]
    yield both
    for each in both:
        each.close()


def test_the_opener_sees_that_another_process_closed(processes):
    opener, worker = processes
    barrier = uuid4().hex
    opener.barrier(barrier, 60).open(b"")
    worker.barrier(barrier, 60).expect(part(SIZE_PLACE, "size"), 1)
    claimer = part(0)
    assert worker.barrier(barrier, 60).arrive(claimer, b"value").outcome is Outcome.CLAIMED
    worker.barrier(barrier, 60).close(claimer, None, lambda _: Rank.SUCCEEDED)
    assert opener.barrier(barrier, 60).arrive(part(0), None).outcome is Outcome.CLOSED
