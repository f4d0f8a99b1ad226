"""Masks the secrets of URLs in output: a store under test may show its password anywhere."""

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus, unquote

from kvbackends.contract import StoreURL

MASK = "**"

_CREDENTIALS = re.compile(r"(?:://|[,;])[^:/@,;?]*:([^@/?]*)@")


class Redactor:
    """Masks the secrets of some URLs in any text."""

    def __init__(self, urls: Iterable[str]) -> None:
        secrets = {form for url in urls for secret in _secrets(url) for form in _forms(secret)}
        # The longest first: one secret may contain another.
        words = [_pattern(each) for each in sorted(secrets, key=len, reverse=True) if each]
        self._pattern = re.compile("|".join(words)) if words else None

    def __call__(self, text: str) -> str:
        """The text with each secret replaced by `MASK`."""
        return self._pattern.sub(MASK, text) if self._pattern else text


def _secrets(text: str) -> Iterator[str]:
    url = StoreURL.parse(text)
    yield from _CREDENTIALS.findall(url.raw.reveal())
    if url.password is not None:
        yield url.password.reveal()
    for name, value in url.query.items():
        if str(StoreURL("x", query={name: value})).endswith(f"={MASK}"):
            yield value


def _forms(secret: str) -> Iterator[str]:
    yield from (secret, unquote(secret), quote(secret), quote(secret, safe=""), quote_plus(secret))
    yield from (repr(secret)[1:-1],)


def _pattern(secret: str) -> str:
    # A short one is masked as a word only: else `a` would hide half of every sentence.
    return re.escape(secret) if len(secret) > 3 else rf"(?<!\w){re.escape(secret)}(?!\w)"


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what a formatter makes of it."""
        self.lines.append(self.format(record))


@contextmanager
def logged() -> Iterator[list[str]]:
    """Yield the lines that are logged from now on, by any logger, down to DEBUG."""
    root, handler = logging.getLogger(), _Lines()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


def around(text: str, secret: str) -> str:
    """Return the line that shows the secret, with `MASK` in its place."""
    line = next(each for each in text.splitlines() if secret in each)
    return line.replace(secret, MASK)[:300]
