"""A network for the nodes of a group, so that one can be cut off from the others: Linux, as root.

Each node runs in a network namespace, wired to a router, which is a namespace, too. This machine
has one wire to the router. Nothing of it outlives the process that made it: wires end with their
namespaces, and these with the processes in them.
"""

import contextlib
import functools
import itertools
import os
import random
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from tests.servers.failure import ServerFailed
from tests.servers.process import Host, Server

OUTSIDE, ROUTER = 253, 254
"""Last numbers of this machine's and the router's address; those of hosts begin with 1."""
MOVED = 100
"""What is added to a host's number by `move`."""
TRIES = 20
LOOPBACK = ["link set lo up", "addr add 127.0.0.1/32 dev lo", "addr del 127.0.0.1/8 dev lo"]
"""Commands after which the other addresses of the loopback's network may be other hosts'."""
LOCAL = "conf/all/route_localnet"
"""The parameter that lets them be sent."""


class Namespace(Server):
    """A network namespace, which a process holds that does nothing."""

    name = "namespace"
    install = "apt-get install iproute2 util-linux"

    @property
    def url(self) -> str:
        """The file that stands for it."""
        return f"/proc/{self.pid}/ns/net"

    @property
    def version(self) -> str:
        """The kernel's."""
        return os.uname().release

    def command(self) -> list[str]:
        """Sleep until it is ended."""
        return ["unshare", "--net", "sleep", "infinity"]

    def answers(self) -> bool:
        """Whether it is another one than ours."""
        return Path(self.url).readlink() != Path("/proc/self/ns/net").readlink()

    @property
    def enter(self) -> tuple[str, ...]:
        """What a command begins with that shall run in it."""
        return "nsenter", f"--net={self.url}"


class Network:
    """Hosts that reach each other and this machine through a router.

    Args:
        size: How many hosts.
    """

    def __init__(self, size: int) -> None:
        self._router = Namespace()
        self._spaces = [Namespace() for _ in range(size)]
        self._cut: list[str] = []
        self._net = ""
        self.wire = ""
        self.hosts: list[Host] = []

    def start(self) -> Self:
        """Make the namespaces and the wires.

        Raises:
            ServerFailed: The kernel or the user may not.
        """
        try:
            for each in (self._router, *self._spaces):
                each.start()
            self._wire()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End all; may be repeated."""
        for each in (*self._spaces, self._router):
            each.stop()

    def cut_off(self, *hosts: Host) -> None:
        """Drop all that goes between these hosts and the others; this machine reaches all."""
        others = [each for each in self.hosts if each not in hosts]
        pairs = list(itertools.product(_addresses(hosts), _addresses(others)))
        both = pairs + [(to, source) for source, to in pairs]
        self._cut = [f"from {source} to {to} blackhole" for source, to in both]
        _ip(self._router.enter, (f"rule add {each}" for each in self._cut))

    def heal(self) -> None:
        """Let everything pass again."""
        rules, self._cut = self._cut, []
        _ip(self._router.enter, (f"rule del {each}" for each in rules))

    def move(self, host: Host) -> Host:
        """Give a host another address instead of its own; what runs there is not told."""
        place = self.hosts.index(host)
        number = int(host.address.rpartition(".")[2])
        moved = host._replace(
            address=f"{self._net}.{number + (MOVED if number < MOVED else -MOVED)}"
        )
        for new, old in zip(_addresses([moved]), _addresses([host]), strict=True):
            _ip(host.enter, [f"addr add {new}/32 dev eth0", f"addr del {old}/32 dev eth0"])
            there = [f"route add {new}/32 dev n{place}", f"route del {old}/32 dev n{place}"]
            _ip(self._router.enter, there)
        self.hosts[place] = moved
        return moved

    def _wire(self) -> None:
        """Connect the router with this machine, in a part of 10.213/16 that is free, then hosts."""
        router = self._router.pid
        for number in random.sample(range(256), TRIES):
            self._net, self.wire = f"10.213.{number}", f"kvbackends{number}"
            with contextlib.suppress(ServerFailed):
                _ip((), [f"link add name {self.wire} type veth peer name out netns {router}"])
                break
        else:
            raise ServerFailed("no wire could be made: `ip link add … type veth` needs root")
        _ip((), self._end(self.wire, OUTSIDE))
        _ip(self._router.enter, [*LOOPBACK, *self._port("out", OUTSIDE)])
        _set(self._router, "ip_forward", LOCAL)
        for place, space in enumerate(self._spaces):
            self._connect(place, space)

    def _connect(self, place: int, space: Namespace) -> None:
        wire, number = f"n{place}", place + 1
        made = f"link add name {wire} type veth peer name eth0 netns {space.pid}"
        _ip(self._router.enter, [made, *self._port(wire, number)])
        _ip(space.enter, [*LOOPBACK, *self._end("eth0", number)])
        host = Host(f"{self._net}.{number}", space.enter)
        _set(space, LOCAL)
        _ip(space.enter, [f"addr add {host.inner}/32 dev eth0"])
        _ip(self._router.enter, [f"route add {host.inner}/32 dev {wire}"])
        self.hosts.append(host)

    def _end(self, wire: str, number: int) -> list[str]:
        """The commands for a wire's end that is not the router's."""
        others = f"{self._net}.0/24" if number == OUTSIDE else "default"
        return [
            f"addr add {self._net}.{number}/32 dev {wire}",
            f"link set {wire} up",
            f"route add {others} via {self._net}.{ROUTER} dev {wire} onlink",
        ]

    def _port(self, wire: str, number: int) -> list[str]:
        """The commands for the router's end of a wire."""
        return [
            f"addr add {self._net}.{ROUTER}/32 dev {wire}",
            f"link set {wire} up",
            f"route add {self._net}.{number}/32 dev {wire}",
        ]


def _addresses(hosts: Iterable[Host]) -> list[str]:
    return [address for host in hosts for address in (host.address, host.inner)]


def _set(space: Namespace, *names: str) -> None:
    """Switch on parameters of the kernel in a namespace."""
    written = "; ".join(f"echo 1 > /proc/sys/net/ipv4/{name}" for name in names)
    subprocess.run([*space.enter, "sh", "-c", written], check=True)


@functools.cache
def can_cut() -> bool:
    """Whether this machine and this user can make networks."""
    trial = ["unshare", "--net", "ip", "link", "add", "name", "a", "type", "veth"]
    with contextlib.suppress(OSError):
        return subprocess.run(trial, capture_output=True, check=False).returncode == 0
    return False


def _ip(enter: Iterable[str], commands: Iterable[str]) -> None:
    """Run commands of `ip`, in a namespace."""
    lines = "".join(f"{each}\n" for each in commands)
    run = [*enter, "ip", "-batch", "-"]
    done = subprocess.run(run, input=lines, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerFailed(f"ip: {done.stderr.strip()}\n{lines}")
