"""Fixtures for all tests: real servers, started when the first test asks for one."""

from collections.abc import Iterator

import pytest

from tests.servers import rabbitmq_server, redis_server


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis for the whole session; a test that stops or pauses one starts its own."""
    with redis_server() as server:
        yield server.url


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """A RabbitMQ for the whole session; a test that stops or pauses one starts its own."""
    with rabbitmq_server() as server:
        yield server.url
