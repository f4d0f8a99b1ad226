"""A network for nodes: who reaches whom, and that nothing of it is left."""

import contextlib
import ctypes
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.network import Network, can_cut
from tests.servers.process import Host, eventually

NET = 0x40000000  # CLONE_NEWNET of linux/sched.h
SHORT = 0.3
"""Seconds after which a connection that is dropped is given up; the others take a millisecond."""
PORT = 5000
pytestmark = pytest.mark.skipif(not can_cut(), reason="needs Linux, root, and iproute2")


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    made = Network(3)
    try:
        yield made.start()
    finally:
        made.stop()
    assert eventually(lambda: made.wire not in links(), 60)  # the kernel removes it by and by


def links() -> str:
    return subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout


@pytest.fixture(autouse=True)
def healed(network: Network) -> Iterator[None]:
    yield
    network.heal()


def socket_of(host: Host | None) -> socket.socket:
    """A socket of a host, or of this machine: the namespace is that of the thread that makes it."""
    made: list[socket.socket] = []

    def make() -> None:
        if host:
            with Path(host.enter[-1].partition("=")[2]).open() as space:
                assert ctypes.CDLL(None).setns(space.fileno(), NET) == 0
        made.append(socket.socket())

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


def reaches(source: Host | None, to: Host, *, patience: float = 10.0) -> bool:
    """Whether a connection from a host, or from this machine, to another host opens."""
    with socket_of(to) as listener, socket_of(source) as client, contextlib.ExitStack() as opened:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((to.address, PORT))
        listener.listen()
        client.settimeout(patience)
        try:
            client.connect((to.address, PORT))
        except TimeoutError:
            return False
        accepted, (address, _) = listener.accept()
        opened.enter_context(accepted)
        return source is None or address == source.address


def test_hosts_reach_each_other(network):
    first, second, _ = network.hosts
    assert reaches(first, second)
    assert reaches(None, first)


def test_one_that_is_cut_off_is_reached_by_this_machine_alone(network):
    first, second, third = network.hosts
    network.cut_off(first)
    assert not reaches(second, first, patience=SHORT)
    assert not reaches(first, second, patience=SHORT)
    assert reaches(second, third)
    assert reaches(None, first)
    network.heal()
    assert reaches(second, first)


def test_one_that_is_moved_has_another_address(network):
    before, second, _ = network.hosts
    moved = network.move(before)
    assert moved.address != before.address
    assert network.hosts[0] == moved
    assert reaches(moved, second)
    assert reaches(second, moved)
