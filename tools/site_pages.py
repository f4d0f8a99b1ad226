"""Adds the pages outside of docs/ to the documentation's site, and makes their links lead there."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
LOADED = re.compile(
    r"""<(?:script|img|iframe)[^>]* src="?http[^>]*|<link[^>]* rel="?stylesheet[^>]*http[^>]*"""
    r"""|<pre class="mermaid"""  # drawn by a script from another server
)
"""What makes a browser load something from another server."""
LINK = re.compile(r"(!?\[((?:[^\[\]]|\[[^\]]*\])*)\])\(([^)\s]+)\)")


def elsewhere() -> dict[str, str]:
    """Return the page of the site for each file outside of docs/."""
    pages = {
        "README.md": "index.md",
        "CHANGELOG.md": "changelog.md",
        "CONTRIBUTING.md": "contributing.md",
        "SECURITY.md": "security.md",
    }
    for path in ROOT.glob("adapters/*/README.md"):
        pages[path.relative_to(ROOT).as_posix()] = f"stores/{path.parent.name}.md"
    for path in ROOT.glob("benchmarks/results/*.md"):
        pages[path.relative_to(ROOT).as_posix()] = f"results/{path.name}"
    return pages


PAGES = elsewhere()


def on_files(files: Files, config: Any) -> Files:
    """Add the pages."""
    for source, page in PAGES.items():
        text = moved((ROOT / source).read_text(), source, page)
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let the links of a page in docs/ lead to the added ones."""
    name = page.file.src_uri
    return markdown if name in PAGES.values() else moved(markdown, f"docs/{name}", name)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that cannot be read as a file, without a network."""
    if found := LOADED.search(output):
        raise PluginError(f"{page.file.src_uri} loads from another server: {found[0]}")
    return output


def moved(text: str, source: str, page: str) -> str:
    """Return the text of a file with the links of its page; those to code become plain text."""

    def link(found: re.Match[str]) -> str:
        label, text, target = found.groups()
        path, _, anchor = target.partition("#")
        if not path or "://" in path:
            return found[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        leads_to = PAGES.get(place, place.removeprefix("docs/"))
        if place not in PAGES and not place.startswith("docs/"):
            return text
        there = posixpath.relpath(leads_to, posixpath.dirname(page) or ".")
        return f"{label}({there}{'#' if anchor else ''}{anchor})"

    return LINK.sub(link, text)
