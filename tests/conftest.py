"""Fixtures for all tests: real servers, started when the first test asks for one."""

from collections.abc import Iterator

import hypothesis
import pytest

from tests.servers import rabbitmq_server, redis_server

# A slow example on a busy machine is no failure; pytest-timeout ends what hangs.
hypothesis.settings.register_profile("kvbackends", deadline=None, print_blob=True)
hypothesis.settings.load_profile("kvbackends")


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
