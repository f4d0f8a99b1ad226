"""A Redis that not everybody may talk to: with TLS, with users, or through a socket only."""

import socket
import ssl
from urllib.parse import quote

from tests.servers.process import HOST
from tests.servers.redis import DEBIAN, RedisServer, wheel_of

USER = "kv"
# Each letter that a URL cannot hold as it is.
USERS_PASSWORD = "50%:/@?#"
ADMINISTRATORS_PASSWORD = "of-the-administrator"
# What the README of `kvbackends-redis` asks for, and no more: commands, then those within scripts.
ALLOWED = (
    "+get +mget +set +unlink +scan +pexpire +evalsha +eval +ping +subscribe +unsubscribe +hmget "
    "+hgetall +hlen +hscan +select "
    "+getrange +exists +persist +pttl +rename +incrby +publish +pubsub +hget +hset +hsetnx +hincrby"
)


class TLSServer(RedisServer):
    """Speaks TLS only, and only to clients with a certificate of its own authority.

    In its folder are `ca.pem`, `server.pem`, `client.pem`, and `stranger.pem` of an authority that
    it does not know, with a `.key` beside each.
    """

    def prepare(self) -> None:
        """Make the authority and what it signs."""
        from tests.servers.certificates import Authority  # not every environment can make them

        ours = Authority()
        ours.write(self.folder / "ca.pem")
        for authority, name in ((ours, "server"), (ours, "client"), (Authority(), "stranger")):
            files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
            authority.issue(*files, *([HOST, "localhost"] if name == "server" else []))

    @property
    def url(self) -> str:
        """The URL of database 0, with the client's certificate."""
        return self.url_with("client")

    def url_with(self, certificate: str) -> str:
        """The URL with one of the certificates, by the name of its file."""
        files = {"ca_certs": "ca.pem", "certfile": f"{certificate}.pem"}
        files["keyfile"] = f"{certificate}.key"
        options = "&".join(f"ssl_{each}={self.folder}/{file}" for each, file in files.items())
        return f"rediss://{HOST}:{self.port}/0?{options}"

    def settings(self) -> list[str]:
        """TLS is all there is on its only port."""
        files = ["--tls-cert-file", "server.pem", "--tls-key-file", "server.key"]
        clients = ["--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "yes"]
        return ["--port", "0", "--tls-port", str(self.port), *files, *clients]

    def connect(self) -> socket.socket:
        """A new connection, with the client's certificate."""
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        context.load_cert_chain(self.folder / "client.pem", self.folder / "client.key")
        return context.wrap_socket(super().connect(), server_hostname=HOST)


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
    """Knows an administrator, and a user who may do what the adapter needs and nothing else."""

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
