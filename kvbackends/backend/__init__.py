"""All that knows Celery: it translates between Celery and the storage contract."""

from kvbackends.backend.aio import achanges, aget
from kvbackends.backend.backend import BaseKeyValueStoreBackend, open_backend

__all__ = ["BaseKeyValueStoreBackend", "achanges", "aget", "open_backend"]
