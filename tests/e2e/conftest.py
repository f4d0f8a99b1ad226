"""Deployments for the tests: brokers are shared by the session, stores and workers are not."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis
from kombu import pools

import kvbackends
from tests.e2e import small
from tests.e2e.deployment import Deployment, current
from tests.support.urls import with_options

_databases = itertools.cycle(range(1, 16))

REDIS = {
    # Nothing is delivered again before a test says so; then at once.
    "visibility_timeout": 3600,
    "unacked_restore_interval": 0.2,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 1,
}

Deploy = Callable[..., Deployment]

POSTGRESQL, *_ = SERVERS = [
    pytest.param(each, marks=pytest.mark.slow)
    for each in ("postgresql", "elasticsearch", "cassandra")
]
"""Parameters for `with_store`: stores behind a network, beside the embedded one."""


@pytest.fixture(scope="module")
def deploy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deploy]:
    """Makes deployments: by broker ("redis", "rabbitmq", "files"), store, Celery's settings.

    The store is the `url` of a server that runs, or a file under `scheme` and `query`.
    """
    kvbackends.register(small)
    with ExitStack() as everything:
        # Celery leaves the broker's connections to the collector, which warns of each.
        everything.callback(pools.reset)
        everything.callback(kvbackends.unregister, small)

        def make(
            broker: str = "redis",
            scheme: str = "sqlite",
            query: str = "",
            url: str | None = None,
            **settings: Any,
        ) -> Deployment:
            folder = tmp_path_factory.mktemp("e2e")
            store = f"kv+{url or f'{scheme}:///{folder}/results.db'}"
            store = with_options(store, query)
            broker_url, transport = _broker(request, broker, folder)
            if transport:
                settings.setdefault("broker_transport_options", transport)
            return everything.enter_context(
                current(Deployment(folder, broker_url, store, **settings))
            )

        yield make


def with_store(deploy: Deploy, request: pytest.FixtureRequest, query: str = "") -> Deployment:
    """The broker that the parameter names with SQLite, or Redis with the server that it names."""
    if request.param in {"redis", "rabbitmq"}:
        return deploy(request.param, query=query)
    return deploy("redis", url=request.getfixturevalue(f"{request.param}_url"), query=query)


def _broker(request: pytest.FixtureRequest, broker: str, folder: Any) -> tuple[str, dict[str, Any]]:
    if broker == "rabbitmq":
        # AMQP answers a message only when asked to: one that a process has sent just before it is
        # killed may be lost on its way, and nobody would know.
        return request.getfixturevalue("rabbitmq_url"), {"confirm_publish": True}
    if broker == "files":
        for name in ("in", "control"):
            (folder / name).mkdir()
        places = {"data_folder_in": f"{folder}/in", "data_folder_out": f"{folder}/in"}
        return "kvtfiles://", {**places, "control_folder": f"{folder}/control"}
    url = request.getfixturevalue("redis_url").removesuffix("/0") + f"/{next(_databases)}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url, REDIS
