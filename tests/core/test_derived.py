"""Batches of stores that have none of their own."""

import time

import pytest

from kvbackends.contract.derived import concurrently


def test_a_batch_ends_with_its_first_failure():
    """Not after each of its calls has waited for a server that is away."""
    calls = []

    def call(key: str) -> None:
        calls.append(key)
        time.sleep(0.01)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        concurrently(call, [str(number) for number in range(2000)])
    assert len(calls) < 1000
