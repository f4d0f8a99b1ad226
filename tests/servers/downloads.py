"""Programs that Debian does not have: got once through the machine's own pip and Maven.

Both are asked as a person would ask them, so that whatever this machine says about package
registries holds. Everything is pinned by version and SHA-256, and kept in `.cache/servers`, which
tests, demo and benchmarks of one checkout share.
"""

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers.failure import ServerFailed, report

CACHE = Path(__file__).parents[2] / ".cache" / "servers"
# The wheels hold programs, not modules: any Python takes the one that is pinned.
WHEELS_FOR = "3.11"
COPYING = "org.apache.maven.plugins:maven-dependency-plugin:2.8"


@dataclass(frozen=True)
class Wheel:
    """A program inside a wheel on PyPI, for x86-64.

    Args:
        name: The distribution.
        version: Its version.
        sha256: The wheel's hash.
        program: Where in the wheel the program is.
        set_up: With which arguments it is run once, to finish its installation.
    """

    name: str
    version: str
    sha256: str
    program: str
    set_up: tuple[str, ...] = ()

    def get(self) -> Path:
        """The program, downloaded if it has not been.

        Raises:
            ServerFailed: pip could not.
        """
        return cached(f"{self.name}-{self.version}", self._install) / self.program

    def _install(self, folder: Path) -> None:
        pins = folder / "requirements.txt"
        pins.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        choice = ["--only-binary", ":all:", "--python-version", WHEELS_FOR, "--require-hashes"]
        run(
            [*pip, *choice, "--target", str(folder), "-r", str(pins)], "apt-get install python3-pip"
        )
        (folder / self.program).chmod(0o755)
        if self.set_up:
            run([str(folder / self.program), *self.set_up], f"remove {CACHE}")


def maven(goal: str, *arguments: str) -> None:
    """Run a goal of Maven's plugin that copies what is on Maven Central.

    Raises:
        ServerFailed: It could not do what it was told.
    """
    command = ["mvn", "-B", "-q", f"{COPYING}:{goal}", *arguments]
    run(command, "apt-get install --no-install-recommends maven")


def run(command: Sequence[str], install: str) -> None:
    """Run a command that downloads something.

    Args:
        command: The command.
        install: How a person installs it.

    Raises:
        ServerFailed: It failed, or is not there.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except OSError as error:
        raise ServerFailed(report("Download failed", command, str(error), install)) from None
    if done.returncode:
        output = done.stdout.decode(errors="replace")
        raise ServerFailed(report("Download failed", command, output, install))


def check(file: Path, sha256: str) -> None:
    """Make sure that a file is the one that is pinned.

    Raises:
        ServerFailed: It is another one.
    """
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != sha256:
        raise ServerFailed(f"{file.name} was downloaded with SHA-256 {found}, pinned is {sha256}.")


def cached(name: str, fill: Callable[[Path], None]) -> Path:
    """One folder of the cache.

    Args:
        name: The folder's name, with the version of what is in it.
        fill: Puts into a new folder what belongs there; called the first time only. When it fails,
            there is no folder.
    """
    folder = CACHE / name
    if not folder.is_dir():
        with _alone():
            if not folder.is_dir():
                _fill(folder, fill)
    return folder


def _fill(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside the final one, and rename it: no half of a download is ever used."""
    for left in CACHE.glob("new-*"):  # of a killed process: this one holds the lock
        shutil.rmtree(left, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=CACHE))
    try:
        fill(new)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of the cache: other runs wait for the same download instead of fighting."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
