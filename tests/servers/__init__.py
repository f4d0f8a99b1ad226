"""Real servers for tests: plain child processes on ports of their own, in a folder of their own.

    with redis_server() as server:
        client = redis.Redis.from_url(server.url)

None outlives the process that started it, however that process ends. `python -m tests.servers
redis rabbitmq` starts servers for a person.
"""

from collections.abc import Callable

from tests.servers.process import Server, ServerFailed
from tests.servers.rabbitmq import rabbitmq_server
from tests.servers.redis import redis_server

__all__ = ["SERVERS", "Server", "ServerFailed", "rabbitmq_server", "redis_server"]

#: Every server that can be started, by the name that the command line knows it by.
SERVERS: dict[str, Callable[[], Server]] = {"redis": redis_server, "rabbitmq": rabbitmq_server}
