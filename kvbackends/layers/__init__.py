"""Stores around a store.  Outward from the adapter: guard, chunks, plugins' layers, retry."""
