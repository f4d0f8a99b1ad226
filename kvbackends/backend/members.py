"""What results consist of and came from, without asking the store."""

from collections.abc import Iterator
from typing import Any

from celery.result import ResultSet


def is_set(result: Any) -> bool:
    """True for a group's result."""
    return isinstance(result, ResultSet)


def leaf_results(result: Any) -> list[Any]:
    """The results of single tasks that a result consists of."""
    if not isinstance(result, ResultSet):
        return [result]
    leaves = []
    for child in result.results:
        if isinstance(child, ResultSet):
            leaves += leaf_results(child)
        else:
            leaves.append(child)
    return leaves


def leaf_ids(result: Any) -> list[str]:
    """The ids of `leaf_results`, each once."""
    if not isinstance(result, ResultSet):
        return [result.id]
    return list(dict.fromkeys([leaf.id for leaf in leaf_results(result)]))


def parents(result: Any) -> Iterator[Any]:
    """The results that led to this one, nearest first."""
    node = result.parent
    while node is not None:
        yield node
        node = node.parent
