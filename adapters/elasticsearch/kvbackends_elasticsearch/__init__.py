"""Celery results in Elasticsearch: ``elasticsearch://host:9200/index``."""

from collections.abc import Iterable

from kvbackends.contract import Adapter, hookimpl
from kvbackends_elasticsearch.options import ElasticsearchOptions
from kvbackends_elasticsearch.store import ElasticsearchStore

__all__ = ["ElasticsearchOptions", "ElasticsearchStore"]


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """This store."""
    yield Adapter(
        schemes=("elasticsearch", "elasticsearch+http", "elasticsearch+https"),
        store=ElasticsearchStore,
        summary="documents of an Elasticsearch index, servers 8 and 9",
        example="elasticsearch://localhost:9200/celery",
    )
