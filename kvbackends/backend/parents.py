"""The look at a waiting result's parents, whose errors win over its own."""

from collections.abc import Callable
from typing import Any

from kvbackends.backend.compat import does_nothing
from kvbackends.backend.missed import Missed
from kvbackends.backend.pending import leaf_results, parents
from kvbackends.backend.results import prefetched
from kvbackends.errors import StoreUnavailable

Callback = Callable[..., Any] | None


def parents_at_hand(backend: Any, result: Any, on_interval: Callback) -> Callback:
    """Return `on_interval`, after a batch read of the unready parents; None if it does nothing.

    Celery's own code asks for each parent; a chord's parents are its whole header.
    """
    if on_interval is None or does_nothing(on_interval):
        return None
    if getattr(result, "parent", None) is None:
        return on_interval

    old, missed = backend.old_finals(), Missed(backend, result)

    def look() -> None:
        leaves = (leaf for node in parents(result) for leaf in leaf_results(node))
        ids = [leaf.id for leaf in leaves if not leaf._cache]
        try:
            known = backend._records(ids, old)
            missed.look(known)
            token = prefetched.set(known)
        except StoreUnavailable:  # the wait outlives it
            return
        try:
            on_interval()
        finally:
            prefetched.reset(token)

    return look
