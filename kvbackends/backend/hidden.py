"""Secret options in `result_backend`, which ``celery inspect conf`` and ``celery report`` print.

Celery masks the password of a URL, but not its query.  A backend that is opened takes the secrets
out of the app's setting, and warns; `kvbackends.cli.in_celery` opens it for ``celery report``.
"""

import logging
import re
from typing import Any
from urllib.parse import quote_plus, unquote_plus
from weakref import WeakKeyDictionary

from kvbackends.backend.compat import MASKED
from kvbackends.contract.url import StoreURL

logger = logging.getLogger("kvbackends")

MASK = "**"
_SURELY = re.compile(r"pass|pw|secret|token|api_?key|bearer", re.IGNORECASE)
"""Names of secrets.  URLs mask more names, such as those of files with keys."""
_taken: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()
"""By app: the whole URLs, by those that are shown in place of them."""


def hide(app: Any, url: StoreURL, given: str) -> None:
    """Mask the secret options in the app's `result_backend`, and make its path absolute.

    It is left alone unless it is `given`, from which `url` was made.
    """
    raw = url.raw.reveal()
    if _bare(str(app.conf.result_backend)) != _bare(given):
        return
    names = [
        name
        for name, value in url.query.items()
        if name in url.secret_options or _SURELY.search(name) or ("://" in value and "@" in value)
    ]
    if not names:
        if raw != _bare(given):
            app.conf.result_backend = f"kv+{raw}"
        return
    logger.warning(
        "result_backend has secrets among its URL's options (%s), which `celery report` shows: put "
        "them into result_backend_transport_options or the settings of the store",
        ", ".join(names),
    )
    base, _, query = raw.partition("?")
    pairs = [each.partition("=") for each in query.split("&")]
    shown = "&".join(
        f"{name}={quote_plus(MASK) if unquote_plus(name) in names else text}"
        for name, _, text in pairs
    )
    _taken.setdefault(app, {})[f"{base}?{shown}"] = raw
    app.conf.result_backend = f"kv+{base}?{shown}"


def warn_of_shown(app: Any, url: StoreURL) -> None:
    """Warn of secret options in the settings under names that Celery does not mask."""
    transport = app.conf.result_backend_transport_options or {}
    given = {name for name, value in transport.items() if isinstance(value, str) and value}
    if names := [each for each in given & url.secret_options if not MASKED.search(each)]:
        logger.warning(
            "result_backend_transport_options has secrets that `celery report` shows, because it "
            "masks by names: %s; use another name of the option, or the settings of the store",
            ", ".join(sorted(names)),
        )


def hide_fallback(app: Any, url: str) -> None:
    """Mask the password of `url` where it is the app's transport option `fallback`."""
    transport = app.conf.result_backend_transport_options or {}
    if "@" in url and transport.get("fallback") == url:
        shown = str(StoreURL.parse(url))
        _taken.setdefault(app, {})[shown] = url
        app.conf.result_backend_transport_options = {**transport, "fallback": shown}


def whole(app: Any, url: str) -> str:
    """The URL with the secrets that `hide` and `hide_fallback` have taken out."""
    return _taken.get(app, {}).get(_bare(url), url)


def _bare(url: str) -> str:
    return url.strip().removeprefix("kv+")
