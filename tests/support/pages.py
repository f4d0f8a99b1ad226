"""The fenced blocks of the project's pages."""

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block, without its fences and indentation."""

    page: str
    """The page's path from the root of the project."""
    language: str
    text: str


def blocks(page: str, *languages: str) -> list[Block]:
    """Return the blocks of a page; of these languages only, if any is named."""
    found = _BLOCK.findall((ROOT / page).read_text())
    every = [Block(page, language, textwrap.dedent(text)) for _, language, text in found]
    return [each for each in every if not languages or each.language in languages]


def texts(page: str, *languages: str) -> list[str]:
    """Return what stands in these blocks."""
    return [block.text for block in blocks(page, *languages)]
