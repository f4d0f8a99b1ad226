"""RabbitMQ: Debian's, as a private node with an epmd of its own, 6 s to start."""

import os
import re

from tests.servers.process import HOST, Server, ask

# The script itself: the one on PATH changes to the user `rabbitmq` and to the machine's node.
SCRIPT = "/usr/lib/rabbitmq/bin/rabbitmq-server"
# In its answer, the server's properties: a table; "S" is a long string, whose length has 4 bytes.
VERSION = re.compile(rb"\x07versionS....([\d.]+)", re.DOTALL)
GREETING = b"AMQP\x00\x00\x09\x01"  # AMQP 0-9-1, section 4.2.2: the client's protocol header


class RabbitMQServer(Server):
    """One node with the default user `guest`."""

    name = "rabbitmq"
    install = "apt-get install --no-install-recommends rabbitmq-server"
    port_count = 3
    patience = 90.0

    @property
    def url(self) -> str:
        """The URL of the virtual host `/`."""
        return f"amqp://guest:guest@{HOST}:{self.port}//"

    @property
    def node(self) -> str:
        """The node's name, which is its own on this machine because the port is."""
        return f"kv{self.port}@localhost"

    def command(self) -> list[str]:
        """The script becomes the server, under one process id, when it thinks systemd runs it."""
        return [SCRIPT]

    def environment(self) -> dict[str, str]:
        """Everything in the server's folder and on 127.0.0.1; nothing from /etc/rabbitmq."""
        machine = {k: v for k, v in os.environ.items() if not k.startswith(("RABBITMQ_", "ERL_"))}
        return machine | self._places() | self._network()

    def answers(self) -> bool:
        """Its greeting names the cluster, which is named after the node."""
        return self.node.partition("@")[0].encode() in ask(self.port, GREETING)

    @property
    def version(self) -> str:
        """RabbitMQ's version, from its greeting."""
        found = VERSION.search(ask(self.port, GREETING))
        assert found
        return found[1].decode()

    def _places(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            "HOME": folder,
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/advanced.config",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/rabbitmq-env.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RUNNING_UNDER_SYSTEMD": "yes",
        }

    def _network(self) -> dict[str, str]:
        port, distribution, epmd = map(str, self.ports)
        return {
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": port,
            "RABBITMQ_DIST_PORT": distribution,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": epmd,
        }


def rabbitmq_server() -> RabbitMQServer:
    """A RabbitMQ node."""
    return RabbitMQServer()
