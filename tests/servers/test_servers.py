"""The servers that other tests stand on: they answer, come back, and leave nothing behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.servers import (
    ALL,
    SERVERS,
    Server,
    ServerFailed,
    fixtures,
    rabbitmq_server,
    redis_server,
)
from tests.servers.process import HOST, PORTS, PortTaken, eventually, free_ports
from tests.servers.redis import RedisServer
from tests.servers.round_trips import CLIENTS

ROOT = Path(__file__).parents[2]


VERSIONS = {
    "redis": "7.0.",
    "redis6.2": "6.2.",
    "redis8": "8.2.",
    "valkey": "9.1.",
    **dict.fromkeys(("redis-appendonly", "redis-tls", "redis-socket", "redis-acl"), "7.0."),
    "memcached": "1.6.",
    "mongodb": "6.0.",
    "elasticsearch": "8.19.",
    "elasticsearch9": "9.2.",
    "opensearch": "2.19.",
    "cassandra": "5.0.",
    "postgresql": "15.",
    "postgresql13": "13.",
    "postgresql18": "18.",
    "postgresql-tls": "15.",
    "rabbitmq": "3.10.",
}
# The servers with Java take half a minute each; the adapters' tests start them as well.
WITH_JAVA = {"cassandra", "elasticsearch", "elasticsearch9", "opensearch"}
OTHER_VERSIONS = {"postgresql13", "postgresql18", "postgresql-tls"}
QUICK = [name for name in SERVERS if name not in WITH_JAVA | OTHER_VERSIONS]
COMING_BACK = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SERVERS
]
coming_back = pytest.mark.parametrize("kind", COMING_BACK, indirect=True, scope="module")


@pytest.fixture(scope="module", params=COMING_BACK)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def server(kind: str) -> Iterator[Server]:
    """One for all tests of this module, and at its end the proof that nothing of it is left."""
    before = descendants(os.getpid())
    with SERVERS[kind]() as started:
        yield started
        below, folder = descendants(os.getpid()) - before, started.folder
        assert started.pid in below
    assert not below & set(processes())
    assert not folder.exists()


def round_trip(server: Server) -> bool:
    """Put something in with a real client, and get it out again."""
    return CLIENTS[server.name](server.url)


def processes() -> dict[int, tuple[int, str]]:
    """The parent and state of every process."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            found[int(stat.parent.name)] = int(parent), state
    return found


def descendants(ancestor: int) -> set[int]:
    """The process ids of everything below a process."""
    table = processes()
    below = {ancestor}
    while more := {pid for pid, (parent, _) in table.items() if parent in below} - below:
        below |= more
    return below - {ancestor}


def gone(pids: set[int]) -> bool:
    """Whether none of them runs; a zombie is init's business."""
    table = processes()
    return all(pid not in table or table[pid][1] == "Z" for pid in pids)


def cmdline(pid: int) -> list[str]:
    """Its words; an empty one when it has ended, as RabbitMQ's helpers soon do."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return [""]


def folders(pids: set[int]) -> list[Path]:
    """The folders that keepers among the processes were started for."""
    return [Path(cmdline(pid)[4]) for pid in pids if any("keeper.py" in a for a in cmdline(pid))]


def test_a_server_answers_a_real_client(server):
    assert round_trip(server)


def test_its_ports_are_below_the_ephemeral_range_and_on_the_loopback_only(server):
    assert set(server.ports) <= set(PORTS)
    with pytest.raises(ConnectionRefusedError), socket.socket() as probe:
        probe.connect(("127.0.0.2", server.port))


def test_it_tells_its_version(server, kind):
    assert server.version.startswith(VERSIONS[kind])


@coming_back
def test_it_survives_a_restart_on_the_same_url(server):
    before, pid = server.url, server.pid
    server.restart()
    assert server.url == before
    assert server.pid != pid
    assert round_trip(server)


@coming_back
def test_it_comes_back_after_a_kill(server):
    server.kill()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, server.port))
    server.restart()
    assert round_trip(server)


def test_a_paused_server_keeps_silent_and_goes_on(server):
    server.pause()
    with contextlib.suppress(TimeoutError):
        assert not server.answers()
    server.resume()
    assert eventually(lambda: answers(server), server.patience)


def answers(server: Server) -> bool:
    """Whether it does so in time."""
    with contextlib.suppress(OSError, ValueError, LookupError):
        return server.answers()
    return False


@pytest.mark.parametrize("kind", ["redis", "elasticsearch"], indirect=True, scope="module")
def test_nothing_is_left_when_the_keeper_is_killed(kind):
    """Elasticsearch runs as another user, and that makes the kernel forget what was asked of it."""
    with SERVERS[kind]() as server:
        os.kill(server._keeper.pid, signal.SIGKILL)
        assert eventually(lambda: gone({server.pid}))


@pytest.mark.parametrize("name", ALL)
def test_it_has_a_fixture_for_the_session(name):
    assert hasattr(fixtures, f"{name.replace('.', '').replace('-', '_')}_url")


def test_nothing_is_left_after_a_failure_in_the_middle():
    with pytest.raises(KeyboardInterrupt), redis_server() as server:
        raise KeyboardInterrupt
    assert gone({server.pid})


def test_nothing_is_left_by_a_starter_that_forgets_to_stop():
    script = "from tests.servers import redis_server; s = redis_server().start(); print(s.pid)"
    pid = subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True)
    assert gone({int(pid)})


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_the_starter_is_killed(how):
    names = QUICK if how == signal.SIGKILL else ["redis"]
    starter = subprocess.Popen(
        [sys.executable, "-m", "tests.servers", *names], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with starter:
        assert starter.stdout
        while not starter.stdout.readline().startswith("ready"):
            assert starter.poll() is None
        started = descendants(starter.pid)
        own_folders = folders(started)
        assert len(own_folders) == len(names)
        assert all(folder.is_dir() for folder in own_folders)
        starter.send_signal(how)
    assert eventually(lambda: gone(started))
    assert eventually(lambda: not any(folder.exists() for folder in own_folders))


def test_a_server_that_daemonizes_is_stopped_too():
    """RabbitMQ's port mapper leaves its session and its parent: only its descent tells."""
    before = descendants(os.getpid())
    with rabbitmq_server() as server:
        started = descendants(os.getpid()) - before
        mapper = [pid for pid in started if "epmd" in cmdline(pid)[0]]
        assert mapper
        server.stop()
        assert gone(set(mapper))


def test_a_server_outlives_the_thread_that_started_it():
    server = redis_server()
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    with contextlib.closing(socket.create_connection((HOST, server.port))) as connection:
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)  # nothing to read, and not closed either
    server.stop()


def test_a_fork_does_not_stop_the_server_of_its_parent():
    with redis_server() as server:
        child = os.fork()
        if child == 0:
            server.stop()
            os._exit(0)
        os.waitpid(child, 0)
        assert server.answers()


def test_arguments_of_a_test_win():
    """With its append-only file, Redis keeps what it acknowledged through a SIGKILL."""
    with redis_server("--appendonly", "yes", "--appendfsync", "always") as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", b"1")
        server.kill()
        server.restart()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("kept") == b"1"


def test_a_taken_port_is_exchanged_for_another(monkeypatch):
    with redis_server() as first:
        offers = iter([first.ports, free_ports(1)])
        monkeypatch.setattr("tests.servers.process.free_ports", lambda _: next(offers))
        with redis_server() as second:
            assert second.port != first.port
            assert second.answers()


def test_a_taken_port_is_named_after_the_last_attempt(monkeypatch):
    with redis_server() as first:
        monkeypatch.setattr("tests.servers.process.free_ports", lambda _: first.ports)
        with pytest.raises(PortTaken, match="in use"):
            redis_server().start()


class Absent(RedisServer):
    def command(self):
        return ["no-such-server", "--port", str(self.port)]


@pytest.mark.parametrize(
    ("server", "command", "output"),
    [
        (Absent(), "no-such-server", "no-such-server: "),
        (redis_server("--no-such-option"), "redis-server", "FATAL CONFIG FILE ERROR"),
    ],
    ids=["absent", "misconfigured"],
)
def test_a_server_that_cannot_start_fails_with_all_that_helps(server, command, output):
    with pytest.raises(ServerFailed) as failure:
        server.start()
    assert f"command: {command} --port" in str(failure.value)
    assert output in str(failure.value)
    assert "apt-get install" in str(failure.value)
    assert not server.folder.exists()
