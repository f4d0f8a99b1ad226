"""Writes every generated file of docs/; ``--check`` only compares, and returns 1 if one is old."""

import sys
from pathlib import Path

import api
import compared
import curves
import messages
import plots
import quoted
import reference


def stale() -> dict[Path, str]:
    """Return the new text of each file that is not up to date."""
    every = (
        reference.pages()
        | plots.pages()
        | curves.pages()
        | compared.pages()
        | api.pages()
        | quoted.pages()
        | messages.pages()
    )
    return {
        path: text for path, text in every.items() if not path.exists() or path.read_text() != text
    }


def main() -> int:
    """Write or compare all files."""
    for path, text in (found := stale()).items():
        if "--check" in sys.argv:
            print(f"{path.name} is outdated: run `make docs`", file=sys.stderr)
        else:
            path.write_text(text)
    return int("--check" in sys.argv and bool(found))


if __name__ == "__main__":
    sys.exit(main())
