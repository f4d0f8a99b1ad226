"""The base of all servers: ports, a folder, a process, and its certain end."""

import atexit
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

from tests.servers.failure import PortTaken, ServerFailed, report

KEEPER = Path(__file__).with_name("keeper.py")
HOST = "127.0.0.1"
# Below the ephemeral range, whose ports the kernel gives to any outgoing connection.
PORTS = range(20_000, 32_000)
ATTEMPTS = 5
ASKED_AGAIN = 15.0  # seconds; Redis refuses to end while it writes its first append-only file
PORT_TAKEN = re.compile("address.*in use|eaddrinuse", re.IGNORECASE)


class Host(NamedTuple):
    """Where a server runs: the address, and what its command begins with."""

    address: str = HOST
    enter: tuple[str, ...] = ()

    @property
    def inner(self) -> str:
        """An address that only the other hosts of a network reach, and that is a loopback's."""
        return re.sub(r"^10\.", "127.", self.address)


class Server(ABC):
    """One server: a context manager that starts it on entry and leaves nothing on exit.

    A subclass says what to run and how to see that it answers.
    """

    name: ClassVar[str]
    #: What has to be installed, as a command that a person can type.
    install: str
    #: How many ports the server listens on; `self.port` is the first.
    port_count: ClassVar[int] = 1
    #: Seconds until it must answer.
    patience: ClassVar[float] = 60.0

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.folder = Path()
        self.host = Host()
        self.pid = 0
        self._keeper: subprocess.Popen[str] | None = None
        self._owner = os.getpid()

    # ------------------------------------------------------------------ what a subclass says

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect to."""

    @abstractmethod
    def command(self) -> list[str]:
        """The command to run, in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether this very server, not another one on its port, serves clients.

        While it does not, may raise OSError; ValueError or LookupError if somebody else answers.
        """

    @property
    @abstractmethod
    def version(self) -> str:
        """The version that the running server gives."""

    def download(self) -> None:
        """Get the program, unless it is installed or has been got before; `start` does it too."""

    def environment(self) -> dict[str, str]:
        """The environment variables of the process."""
        return dict(os.environ)

    def choose_ports(self) -> list[int]:
        """Free ports for the server, `self.port` first."""
        return free_ports(self.port_count)

    def prepare(self) -> None:
        """Write what the server wants to find in `self.folder`."""

    # -------------------------------------------------------------------------- for its users

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        return self.ports[0]

    @property
    def pids(self) -> list[int]:
        """The process ids of a person's interest; a group of servers has several."""
        return [self.pid]

    def output(self) -> str:
        """The output of the process so far."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def start(self) -> Self:
        """Start on free ports; when somebody else took one of them meanwhile, on others."""
        self.download()
        for _ in range(ATTEMPTS - 1):
            with contextlib.suppress(PortTaken):
                return self._start()
        return self._start()

    def stop(self) -> None:
        """Kill the server and all that it started, and remove its folder; may be repeated."""
        if self._owner != os.getpid():
            return  # a fork of the starter: the server is not its own
        if self._keeper:
            self._keeper.terminate()
        self._ended()
        if self.ports:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.ports = []
        atexit.unregister(self.stop)

    def kill(self) -> None:
        """Kill the server as a power cut would; `restart` brings it back with what is on disk."""
        os.kill(self.pid, signal.SIGKILL)
        self._ended()

    def runs(self) -> bool:
        """Whether its process is there and not frozen."""
        return self._alive() and state(self.pid) not in {"T", "Z"}

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop the server in good order, unless it was killed, and start it on the same ports."""
        while self._alive():
            self.resume()
            os.kill(self.pid, signal.SIGTERM)
            eventually(lambda: not self._alive(), ASKED_AGAIN)
        self._ended()
        self._run()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ---------------------------------------------------------------------------- the process

    def _start(self) -> Self:
        """Start in a new folder; when that fails, leave nothing."""
        atexit.register(self.stop)
        self.ports = self.choose_ports()
        self.folder = Path(tempfile.mkdtemp(prefix=f"kvbackends-{self.name}-"))
        try:
            self.prepare()
            self._run()
        except BaseException:
            self.stop()
            raise
        return self

    def _run(self) -> None:
        """Start the process and wait until it answers."""
        keeper = [sys.executable, "-I", str(KEEPER), str(os.getpid()), str(self.folder)]
        with self._output.open("a") as output:
            self._keeper = subprocess.Popen(
                [*keeper, *self.host.enter, *self.command()],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                start_new_session=True,  # Ctrl-C is for the starter, which stops us in good order
            )
        assert self._keeper.stdout
        self.pid = int(self._keeper.stdout.readline() or 0)
        if not eventually(self._settled, self.patience) or not self._alive():
            raise self._failure()

    def _settled(self) -> bool:
        """Whether waiting is over: it answers, or never will."""
        with contextlib.suppress(OSError, ValueError, LookupError):
            return not self._alive() or self.answers()
        return False

    def _alive(self) -> bool:
        return self._keeper is not None and self._keeper.poll() is None

    def _ended(self) -> None:
        """Wait until the keeper has ended: it ends after everything else has."""
        if self._keeper:
            self._keeper.communicate()
            self._keeper = None

    @property
    def _output(self) -> Path:
        return self.folder / "output.log"

    def _failure(self) -> "ServerFailed":
        what = f"did not answer within {self.patience:g} s" if self._alive() else "ended"
        output = self.output()
        kind = PortTaken if PORT_TAKEN.search(output) else ServerFailed
        return kind(report(f"{self.name} {what}", self.command(), output, self.install))


def state(pid: int) -> str:
    """The letter of a process's state, as in section 5 of the manual; "Z" when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, all different."""
    with contextlib.ExitStack() as held:
        return [_free_port(held) for _ in range(count)]


def _free_port(held: contextlib.ExitStack) -> int:
    """Find one free port, and keep it bound until `held` is closed."""
    while True:
        port = random.choice(PORTS)
        if bound(held, port):
            return port


def bound(held: contextlib.ExitStack, port: int) -> bool:
    """Whether a port was free; it is bound until `held` is closed."""
    probe = held.enter_context(socket.socket())
    try:
        probe.bind((HOST, port))
    except OSError:
        return False
    return True


def ask(port: int, question: bytes) -> bytes:
    """The first bytes that a server answers to a question."""
    with socket.create_connection((HOST, port), timeout=1) as connection:
        connection.sendall(question)
        return connection.recv(65_536)


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes from a connection; OSError when it ends before."""
    received = b""
    while len(received) < size:  # MSG_WAITALL does not wait where there is a timeout
        more = connection.recv(size - len(received))
        if not more:
            raise ConnectionResetError("the answer ended too early")
        received += more
    return received


def received_until(connection: socket.socket, last: bytes) -> bytes:
    """All that comes until the last words have come; OSError when the connection ends before."""
    received = b""
    while last not in received:
        more = connection.recv(65_536)
        if not more:
            raise ConnectionResetError("the answer ended too early")
        received += more
    return received


def eventually(condition: Callable[[], bool], patience: float = 10.0) -> bool:
    """Whether the condition holds within so many seconds."""
    deadline = time.monotonic() + patience
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds
