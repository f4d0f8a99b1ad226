"""OpenSearch 2.19: one node; like Elasticsearch, of which it is a fork."""

from tests.servers.elasticsearch import Distribution, ElasticsearchServer

DISTRIBUTION = Distribution(
    "2.19.1", "af7152d8b7f6f1cee09d47276b32b70479fe6dd8cdbb61213f84eb7f8098b261", "opensearch"
)


class OpenSearchServer(ElasticsearchServer):
    """One node of OpenSearch, a cluster of its own."""

    name = "opensearch"
    prefix = "OPENSEARCH"
    install = "remove .cache/servers/opensearch-* to have it downloaded again"

    def settings(self) -> dict[str, str]:
        """The content of `opensearch.yml`; security is a plugin, which is not there."""
        return {k: v for k, v in super().settings().items() if not k.startswith("xpack.")}


def opensearch_server() -> OpenSearchServer:
    """An OpenSearch server."""
    return OpenSearchServer(DISTRIBUTION, {})
