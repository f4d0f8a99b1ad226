"""Fixtures: a store without layers, and a counter of its exchanges."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from kvbackends_redis import RedisStore
from kvbackends_redis.operations import scripts

from kvbackends.contract import StoreURL
from kvbackends.contract.options import fill

Opener = Callable[..., RedisStore]


@pytest.fixture
def open_redis(redis_url: str) -> Iterator[Opener]:
    """Opens the session's server, or the one at `url`, with Celery's settings as keywords."""
    opened: list[RedisStore] = []

    def open_one(url: str = redis_url, **settings: object) -> RedisStore:
        parsed = StoreURL.parse(url)
        opened.append(
            RedisStore.from_url(parsed, fill(RedisStore.options_type, parsed.query, settings))
        )
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def store(open_redis: Opener) -> RedisStore:
    return open_redis()


class Wire:
    """Counts the exchanges of a store's connections: one send, however many commands."""

    def __init__(self, store: RedisStore) -> None:
        self.sent = 0
        for each in vars(scripts).values():
            if isinstance(each, scripts.Script):
                store.client.script_load(each.text)
        connections = store._connections()
        take = connections._take

        def counting() -> object:
            self.sent += 1
            return take()

        connections._take = counting

    @contextmanager
    def trips(self, expected: int) -> Iterator[None]:
        before = self.sent
        yield
        assert self.sent - before == expected


@pytest.fixture
def wire(store: RedisStore) -> Wire:
    return Wire(store)
