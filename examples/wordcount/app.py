"""The Celery application: one task for each file, and one that merges their counts."""

from typing import Any

from celery import Celery

from examples.wordcount import text

app = Celery("wordcount", config_source="examples.wordcount.settings")


@app.task
def count(path: str) -> dict[str, int]:
    """Map: the identifiers of one file."""
    return text.identifiers(path)


@app.task
def merge(counts: list[dict[str, int]]) -> dict[str, Any]:
    """Reduce: the answer."""
    return text.summary(counts)
