"""The text of the rules that checks prove. In a wheel the page lies beside this module."""

import re
from functools import cache
from pathlib import Path

PAGE = "docs/contract.md"
"""As the project names it; links of checks begin with it."""

_HERE = Path(__file__)
_PLACES = (_HERE.with_name("contract.md"), _HERE.parents[2] / PAGE)
_SECTION = re.compile(r"^### (.+?)\n+(.*?)\s*(?=^#|^\[\^|\Z)", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"\[\^[\w-]+\]")


def text_of(link: str) -> str:
    """The paragraph that `link`, a check's `rule`, leads to; each of its lines is a paragraph."""
    return _texts().get(link.partition("#")[2], "")


@cache
def _texts() -> dict[str, str]:
    page = next((each.read_text(encoding="utf-8") for each in _PLACES if each.exists()), "")
    return {_anchor(title): _unwrapped(text) for title, text in _SECTION.findall(page)}


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _unwrapped(text: str) -> str:
    return "\n".join(" ".join(each.split()) for each in _MARK.sub("", text).split("\n\n"))
