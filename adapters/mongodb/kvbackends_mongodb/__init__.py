"""Celery results in MongoDB: ``mongodb://host/database``.

The server: MongoDB 4.4 or later, standalone or as a replica set.  The user needs ``readWrite`` on
the database; that includes the right to create the indexes.

The options: `MongoDBOptions`, every option of the driver's URLs, and Celery's
``mongodb_backend_settings``.

Not guaranteed: values above 16 MB less 64 KB are refused.  With a weaker write concern than
``w=majority`` and ``journal=true`` confirmed results may be lost.  The server removes expired
documents about once a minute.  Sharded clusters have not been tested.
"""

from collections.abc import Iterable

from kvbackends.contract import Adapter, hookimpl
from kvbackends_mongodb.options import MongoDBOptions
from kvbackends_mongodb.store import MongoDBStore

__all__ = ["MongoDBOptions", "MongoDBStore"]


@hookimpl
def kvbackends_adapters() -> Iterable[Adapter]:
    """The adapter of this distribution."""
    yield Adapter(
        schemes=("mongodb", "mongodb+srv"),
        store=MongoDBStore,
        summary="a MongoDB server, replica set or cluster",
        example="mongodb://localhost:27017/celery",
    )
