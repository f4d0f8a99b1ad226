"""What the job computes.  Nothing here knows Celery."""

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
    """The .py files of the running Python's standard library; the first `limit` of them."""
    files = (
        str(path)
        for path in sorted(LIBRARY.rglob("*.py"))
        if path.is_file() and NOT_THE_LIBRARY.isdisjoint(path.relative_to(LIBRARY).parts)
    )
    return list(islice(files, limit))


def short_name(path: str) -> str:
    """The file's name within the library."""
    return str(Path(path).relative_to(LIBRARY))


def identifiers(path: str) -> Counter[str]:
    """How often each identifier stands in a file; of a broken file, as far as it can be read."""
    counts: Counter[str] = Counter()
    try:
        with tokenize.open(path) as source:
            for token in tokenize.generate_tokens(source.readline):
                if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                    counts[token.string] += 1
    except (SyntaxError, UnicodeDecodeError, tokenize.TokenError):
        pass  # the library tests its parser with files like this
    return counts


def summary(counts: Iterable[Mapping[str, int]]) -> dict[str, Any]:
    """The answer: how many words, how many different ones, and which are used most."""
    merged: Counter[str] = Counter()
    for each in counts:
        merged.update(each)
    by_use = sorted(merged.items(), key=lambda item: (-item[1], item[0]))
    return {
        "words": merged.total(),
        "identifiers": len(merged),
        "most_used": [list(item) for item in by_use[:MOST_USED]],
    }
