"""Celery results in MongoDB: ``mongodb://host/database``."""

from collections.abc import Iterable

from kvbackends.contract import Adapter, hookimpl
from kvbackends_mongodb.options import MongoDBOptions
from kvbackends_mongodb.store import MongoDBStore

__all__ = ["MongoDBOptions", "MongoDBStore"]


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """This store."""
    yield Adapter(
        schemes=("mongodb", "mongodb+srv"),
        store=MongoDBStore,
        summary="a MongoDB server, replica set or cluster",
        example="mongodb://localhost:27017/celery",
    )
