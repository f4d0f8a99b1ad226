"""Celery results in Elasticsearch: ``elasticsearch://host:9200/index``.

The server: Elasticsearch 8 or 9, or OpenSearch 2.  The user needs ``read``, ``write``,
``maintenance`` and ``view_index_metadata`` on the index, and ``create_index`` and ``manage`` if the
index does not exist.  Neither scripts nor ingest pipelines are used.

The options: `ElasticsearchOptions`, and all of Celery's ``elasticsearch_*`` settings.

Not guaranteed: the server does not remove expired documents; Celery's ``backend_cleanup`` does.
Expiry is decided by the clock of the host that reads.  Values above 75 MB are refused, and smaller
ones if the server's heap is too small for them.
"""

from collections.abc import Iterable

from kvbackends.contract import Adapter, hookimpl
from kvbackends_elasticsearch.options import ElasticsearchOptions
from kvbackends_elasticsearch.store import ElasticsearchStore

PRODUCTS = ("elasticsearch", "opensearch")

__all__ = ["ElasticsearchOptions", "ElasticsearchStore"]


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """The adapter of this distribution."""
    yield Adapter(
        schemes=tuple(f"{name}{tls}" for name in PRODUCTS for tls in ("", "+http", "+https")),
        store=ElasticsearchStore,
        summary="documents of an index of Elasticsearch 8 and 9, or OpenSearch 2",
        example="elasticsearch://localhost:9200/celery",
    )
