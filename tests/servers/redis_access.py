"""A Redis that not everybody may talk to: with TLS, with users, or through a socket only."""

import socket
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.servers.process import HOST
from tests.servers.redis import DEBIAN, RedisServer, wheel_of

if TYPE_CHECKING:
    from tests.servers.certificates import Authority

USER = "kv"
# Each letter that a URL cannot hold as it is.
USERS_PASSWORD = "50%:/@?#"
ADMINISTRATORS_PASSWORD = "of-the-administrator"
# What the README of `kvbackends-redis` asks for, and no more: commands, then those within scripts.
ALLOWED = (
    "+get +mget +set +unlink +scan +pexpire +evalsha +eval +ping +subscribe +unsubscribe +hmget "
    "+hgetall +llen +lrange +rpush +select "
    "+getrange +exists +persist +pttl +rename +incrby +publish +pubsub +hget +hset +hsetnx +hincrby"
)


class TLSServer(RedisServer):
    """Speaks TLS only, and only to clients with a certificate of its own authority.

    In its folder are `ca.pem`, `server.pem`, `client.pem`, and `stranger.pem` of an authority that
    it does not know, with a `.key` beside each.
    """

    scheme = "rediss"
    #: Who signs; None means an authority of its own.
    authority: "Authority | None" = None

    def prepare(self) -> None:
        """Make certificates."""
        super().prepare()
        from tests.servers.certificates import Authority  # not every environment can make them

        ours = self.authority or Authority()
        ours.write(self.folder / "ca.pem")
        for authority, name in ((ours, "server"), (ours, "client"), (Authority(), "stranger")):
            files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
            authority.issue(*files, *([HOST, "localhost"] if name == "server" else []))

    @property
    def query(self) -> str:
        """The client's certificate."""
        return self.query_with("client")

    def query_with(self, certificate: str) -> str:
        """The options for one of the certificates, by the name of its file."""
        files = {"ca_certs": "ca.pem", "certfile": f"{certificate}.pem"}
        files["keyfile"] = f"{certificate}.key"
        return "?" + "&".join(f"ssl_{each}={self.folder}/{file}" for each, file in files.items())

    def settings(self) -> list[str]:
        """TLS is all there is on its only port."""
        files = ["--tls-cert-file", "server.pem", "--tls-key-file", "server.key"]
        clients = ["--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "yes"]
        port = ["--port", "0", "--tls-port", str(self.port)]
        return [*super().settings(), *port, *files, *clients]

    def connect(self) -> socket.socket:
        """A new connection, with the client's certificate."""
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        context.load_cert_chain(self.folder / "client.pem", self.folder / "client.key")
        return context.wrap_socket(super().connect(), server_hostname=HOST)


class TLSMember(TLSServer):
    """One of several that speak TLS with each other, too; `trust_each_other` is for all of them."""

    def settings(self) -> list[str]:
        """A primary and its replica are each other's client and server."""
        return [*super().settings(), "--tls-replication", "yes"]


def trust_each_other(servers: Iterable[TLSServer]) -> None:
    """Let one authority sign for all of them."""
    from tests.servers.certificates import Authority  # not every environment can make them

    authority = Authority()
    for server in servers:
        server.authority = authority


class SocketServer(RedisServer):
    """Listens on no port, but on a socket in its folder."""

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return f"unix://{self._path}?db=0"

    @property
    def _path(self) -> str:
        return f"{self.folder}/redis.sock"

    def settings(self) -> list[str]:
        """The socket takes the place of the port."""
        return ["--port", "0", "--unixsocket", self._path]

    def connect(self) -> socket.socket:
        """A new connection."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(1)
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        return connection


class UsersServer(RedisServer):
    """Has an administrator, and a user with the rights that the adapter needs and no others."""

    def prepare(self) -> None:
        """Write the users; a restart reads them again."""
        lines = (
            f"user default on >{ADMINISTRATORS_PASSWORD} ~* &* +@all",
            f"user {USER} on >{USERS_PASSWORD} ~* &* -@all {ALLOWED}",
        )
        (self.folder / "users.acl").write_text("\n".join(lines) + "\n")
        self.password = ADMINISTRATORS_PASSWORD

    @property
    def url(self) -> str:
        """The URL of database 0, for the user."""
        return f"redis://{USER}:{quote(USERS_PASSWORD, safe='')}@{HOST}:{self.port}/0"

    def settings(self) -> list[str]:
        """The file has the administrator's password, too."""
        return ["--aclfile", "users.acl"]


def redis_tls_server(*arguments: str) -> TLSServer:
    """A Redis with TLS and client certificates, in Debian's version: no other knows `--tls-port`.

    Args:
        arguments: Of its command line.
    """
    return TLSServer(*arguments)


def redis_socket_server(*arguments: str, version: str = DEBIAN) -> SocketServer:
    """A Redis on a Unix socket.

    Args:
        arguments: Of its command line.
        version: "7.0", "6.2", "8" or "valkey".
    """
    return SocketServer(*arguments, wheel=wheel_of(version))


def redis_acl_server(*arguments: str, version: str = DEBIAN) -> UsersServer:
    """A Redis whose user has no more rights than needed.

    Args:
        arguments: Of its command line.
        version: "7.0", "6.2", "8" or "valkey".
    """
    return UsersServer(*arguments, wheel=wheel_of(version))
