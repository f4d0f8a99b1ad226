"""What a process remembers of a barrier must not answer for what others have made of it."""

from uuid import uuid4

import pytest

from kvbackends import open_store
from kvbackends.contract import SIZE_PLACE, Outcome, Part, Rank


def part(barrier, place, member=None):
    return Part(barrier, place, member or f"task-{place}", uuid4().hex)


@pytest.fixture
def processes(cassandra_url):
    """Two stores that remember nothing of each other."""
    settings = {"result_backend_transport_options": {"retry": False}}
    both = [open_store(cassandra_url, settings) for _ in range(2)]
    yield both
    for each in both:
        each.close()


def test_who_opened_sees_that_others_closed(processes):
    opener, worker = processes
    barrier = uuid4().hex
    opener.open_barrier(barrier, b"", 60)
    worker.expect(part(barrier, SIZE_PLACE, "size"), 1, 60)
    claimer = part(barrier, 0)
    assert worker.arrive(claimer, b"value", 60).outcome is Outcome.CLAIMED
    worker.close_barrier(claimer, 60, None, lambda _: Rank.SUCCEEDED)
    assert opener.arrive(part(barrier, 0), None, 60).outcome is Outcome.CLOSED
