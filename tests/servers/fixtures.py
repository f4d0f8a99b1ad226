"""Fixtures for all tests: real servers, each started when the first test asks for it.

A pytest plugin. Each server lives for the session and is shared; a test that stops or pauses one
starts its own.
"""

from collections.abc import Iterator

import pytest

from tests.servers import SERVERS


def _url_of(name: str) -> Iterator[str]:
    with SERVERS[name]() as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a Redis 7.0."""
    yield from _url_of("redis")


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """The URL of a RabbitMQ."""
    yield from _url_of("rabbitmq")
