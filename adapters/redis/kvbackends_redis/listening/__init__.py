"""Waiters are told: channels that have the names of keys."""
