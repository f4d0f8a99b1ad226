"""Hooks, the registry that finds an adapter by its scheme, and how a store is opened."""

from kvbackends.plugins.hookspecs import Adapter, Layering, hookimpl
from kvbackends.plugins.opening import open_store
from kvbackends.plugins.registry import register, unregister

__all__ = ["Adapter", "Layering", "hookimpl", "open_store", "register", "unregister"]
