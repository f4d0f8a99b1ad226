"""The Celery application: one task for each file, and one that merges their counts."""

from typing import Any

from celery import Celery

from examples.wordcount import text

app = Celery("wordcount", config_source="examples.wordcount.settings")


@app.task
def count(path: str) -> dict[str, int]:
    """Map: return the number of uses of each identifier in a file."""
    return text.identifiers(path)


@app.task
def merge(counts: list[dict[str, int]]) -> dict[str, Any]:
    """Reduce: merge the counts of all files."""
    return text.summary(counts)
