"""The computation, without Celery."""

import keyword
import sysconfig
import tokenize
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

LIBRARY = Path(sysconfig.get_path("stdlib"))
NOT_THE_LIBRARY = {"site-packages", "dist-packages", "__pycache__"}
MOST_USED = 1000


def library_files(limit: int | None = None) -> list[str]:
    """Return the first `limit` .py files of the running Python's standard library."""
    files = (
        str(path)
        for path in sorted(LIBRARY.rglob("*.py"))
        if path.is_file() and NOT_THE_LIBRARY.isdisjoint(path.relative_to(LIBRARY).parts)
    )
    return list(islice(files, limit))


def short_name(path: str) -> str:
    """Return the file's path within the library."""
    return str(Path(path).relative_to(LIBRARY))


def identifiers(path: str) -> Counter[str]:
    """Return the uses of each identifier in a file; a broken file is counted up to its error."""
    counts: Counter[str] = Counter()
    try:
        with tokenize.open(path) as source:
            for token in tokenize.generate_tokens(source.readline):
                if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                    counts[token.string] += 1
    except (SyntaxError, UnicodeDecodeError, tokenize.TokenError):
        pass  # the library has such files for tests of its parser
    return counts


def summary(counts: Iterable[Mapping[str, int]]) -> dict[str, Any]:
    """Return the number of words, of different ones, and the most used ones."""
    merged: Counter[str] = Counter()
    for each in counts:
        merged.update(each)
    by_use = sorted(merged.items(), key=lambda item: (-item[1], item[0]))
    return {
        "words": merged.total(),
        "identifiers": len(merged),
        "most_used": [list(item) for item in by_use[:MOST_USED]],
    }
