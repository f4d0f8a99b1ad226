"""Finds adapters by scheme, and opens stores behind their layers."""

from kvbackends.plugins.opening import open_store
from kvbackends.plugins.registry import register, unregister

__all__ = ["open_store", "register", "unregister"]
