"""The fault proxy before a real Redis and its real client."""

from collections.abc import Iterator

import pytest
import redis

from tests.servers.proxy import FaultProxy


@pytest.fixture
def before_redis(redis_url: str) -> Iterator[tuple[FaultProxy, redis.Redis]]:
    host, port = redis_url.removeprefix("redis://").removesuffix("/0").split(":")
    with FaultProxy(host, int(port)) as proxy:
        url = proxy.url_of(redis_url)
        with redis.Redis.from_url(url, retry=None, socket_timeout=2) as client:
            client.ping()
            yield proxy, client


def test_a_pipeline_of_redis_is_one_round_trip(before_redis):
    proxy, client = before_redis
    before = proxy.counts
    client.get("key")
    client.get("key")
    assert (proxy.counts - before).round_trips == 2
    before = proxy.counts
    with client.pipeline(transaction=False) as pipeline:
        for _ in range(100):
            pipeline.get("key")
        pipeline.execute()
    assert (proxy.counts - before).round_trips == 1
    assert proxy.counts.connections == 1


def test_redis_has_done_what_was_not_answered(before_redis):
    proxy, client = before_redis
    client.delete("counter")
    proxy.cut_after(0)
    with pytest.raises(redis.ConnectionError):
        client.incr("counter")
    assert client.get("counter") == b"1"


def test_a_redis_that_keeps_silent_times_out(before_redis):
    proxy, client = before_redis
    proxy.pause()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    proxy.resume()
    assert client.ping()
