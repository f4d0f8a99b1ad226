"""Writes the core's version into each adapter's pyproject.toml; ``--check`` only compares.

The distributions are released together: an adapter has the version of the core, and needs that one.
It stands in each file as text, so that a source distribution can be built without the others.
"""

import re
import sys
from pathlib import Path

from kvbackends import __version__

ROOT = Path(__file__).parent.parent
OWN = re.compile(r'^(dynamic = \["version"\]|version = ".*")$', re.MULTILINE)
CORE = re.compile(r'^    "kvbackends(==[^"]+)?",$', re.MULTILINE)


def with_versions(text: str) -> str:
    """Return the text of an adapter's file with the core's version in both places."""
    text, own = OWN.subn(f'version = "{__version__}"', text)
    text, core = CORE.subn(f'    "kvbackends=={__version__}",', text)
    if (own, core) != (1, 1):
        raise SystemExit('versions: each adapter needs a line version = "…" and "kvbackends==…"')
    return text


def main() -> None:
    """Write or compare each adapter's file."""
    outdated = []
    for path in sorted(ROOT.glob("adapters/*/pyproject.toml")):
        text = path.read_text()
        if (wanted := with_versions(text)) != text:
            outdated.append(str(path.relative_to(ROOT)))
            if "--check" not in sys.argv[1:]:
                path.write_text(wanted)
    if outdated and "--check" in sys.argv[1:]:
        raise SystemExit(f"versions: run `make docs`: {', '.join(outdated)}")


if __name__ == "__main__":
    main()
