"""PostgreSQL with TLS, and behind PgBouncer."""

import os
import shutil
import socket
import subprocess

from tests.servers.postgresql import (
    DEBIAN,
    USER,
    PostgreSQLServer,
    as_nobody,
    given_to_nobody,
)
from tests.servers.process import HOST, Server


class PostgreSQLTLS(PostgreSQLServer):
    """Speaks TLS only, with clients whose certificate names a user."""

    @property
    def url(self) -> str:
        """The URL for the owner, whose certificate is in the server's folder."""
        files = f"sslrootcert={self.folder}/ca.pem&sslcert={self.folder}/{USER}.pem"
        return f"{super().url}?sslmode=verify-full&{files}&sslkey={self.folder}/{USER}.key"

    def make_data(self) -> None:
        """Certificates, too, and a rule that asks for them."""
        from tests.servers.certificates import Authority  # not every environment can make them

        super().make_data()
        authority = Authority()
        authority.write(self.folder / "ca.pem")
        authority.issue(self.folder / "server.pem", self.folder / "server.key", HOST)
        authority.issue(self.folder / f"{USER}.pem", self.folder / f"{USER}.key")
        for key in self.folder.glob("*.key"):
            key.chmod(0o600)
        owner = (self.folder / "data").stat()
        os.chown(self.folder / "server.key", owner.st_uid, owner.st_gid)
        rules = "local all all trust\nhostssl all all 127.0.0.1/32 cert\n"
        (self.folder / "data" / "pg_hba.conf").write_text(rules)

    def settings(self) -> dict[str, str]:
        """The files."""
        files = {"key_file": "server.key", "cert_file": "server.pem", "ca_file": "ca.pem"}
        return {"ssl": "on"} | {f"ssl_{n}": f"{self.folder}/{file}" for n, file in files.items()}

    def where(self, database: str = USER) -> list[str]:
        """By its socket, which needs no certificate."""
        return ["-X", "-h", str(self.folder), "-p", str(self.port), "-U", USER, "-d", database]


class PgBouncer(Server):
    """PgBouncer in transaction mode before a server that runs."""

    name = "pgbouncer"
    install = "apt-get install --no-install-recommends pgbouncer"

    def __init__(self, behind: PostgreSQLServer) -> None:
        super().__init__()
        self._behind = behind

    @property
    def url(self) -> str:
        """The URL of the database `postgres` by way of the pooler."""
        return f"postgresql://{USER}@{HOST}:{self.port}/postgres"

    @property
    def version(self) -> str:
        """The version, as the program gives it."""
        words = subprocess.run(["pgbouncer", "--version"], capture_output=True, text=True)
        return words.stdout.split()[1]

    def prepare(self) -> None:
        """Its file: few connections to the server, so that clients get different ones by turns."""
        (self.folder / "users.txt").write_text(f'"{USER}" ""\n')
        lines = [
            "[databases]",
            f"* = host={HOST} port={self._behind.port}",
            "[pgbouncer]",
            f"listen_addr = {HOST}",
            f"listen_port = {self.port}",
            "unix_socket_dir =",
            "auth_type = trust",
            "auth_file = users.txt",
            "pool_mode = transaction",
            "default_pool_size = 4",
            "max_client_conn = 200",
        ]
        (self.folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            given_to_nobody(self.folder)

    def command(self) -> list[str]:
        """It refuses root, too."""
        return [*as_nobody(), shutil.which("pgbouncer") or "/usr/sbin/pgbouncer", "pgbouncer.ini"]

    def answers(self) -> bool:
        """Its port is its own: it would have ended otherwise."""
        with socket.create_connection((HOST, self.port), timeout=1):
            return True


def postgresql_tls_server() -> PostgreSQLTLS:
    """A PostgreSQL server with TLS and certificates of clients."""
    return PostgreSQLTLS(DEBIAN, {})


def pgbouncer(behind: PostgreSQLServer) -> PgBouncer:
    """A PgBouncer before a server that runs."""
    return PgBouncer(behind)
