"""All that knows Celery: it translates between Celery and the storage contract."""

from kvbackends.backend.aio import aget
from kvbackends.backend.backend import BaseKeyValueStoreBackend, open_backend

__all__ = ["BaseKeyValueStoreBackend", "aget", "open_backend"]
