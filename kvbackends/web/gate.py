"""Decides which requests are answered, and what browsers may do with the answers."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Collection, Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Self
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kvbackends.errors import ConfigurationError

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": browsers then send no `Origin` with forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
COOKIE = "kvbackends-form"


class Login:
    """The people and programs that may see the pages.

    Args:
        lines: ``name:password``, or a token, each in a line of its own.  Empty lines and those that
            begin with ``#`` are left out.  Raises `ConfigurationError` if nothing is left.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        stripped = (line.strip() for line in lines)
        self._known = [_digest(line) for line in stripped if line and not line.startswith("#")]
        if not self._known:
            raise ConfigurationError(
                "no name:password and no token is given: write one into a line of its own"
            )

    @classmethod
    def of(cls, text: str) -> Self:
        """The login of a file's text."""
        return cls(text.splitlines())

    def accepts(self, authorization: str) -> bool:
        """True if the header ``Authorization`` has a known password or token.

        A token is sent as ``Bearer``, or as the password of any name.
        """
        found = [_digest(each) for each in _secrets(authorization)]
        # Every pair is compared, in the same time each: the answer's time tells nothing.
        return sum(hmac.compare_digest(one, other) for one in found for other in self._known) > 0


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _secrets(authorization: str) -> list[str]:
    kind, _, rest = authorization.partition(" ")
    if kind.lower() == "bearer" and ":" not in rest:
        return [rest.strip()]
    if kind.lower() != "basic":
        return []
    try:
        pair = base64.b64decode(rest, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return []
    password = pair.partition(":")[2]
    return [pair] if ":" in password or not password else [pair, password]


class Gate:
    """Asks for a login, refuses unknown host names, and adds headers that browsers obey.

    Args:
        app: The pages.
        login: None: everybody who reaches the pages may see them.
        hosts: The names under which the pages are reached; None: any.  Without a login a page of
            another site could reach the pages under a name of its own that leads to this machine.
    """

    def __init__(
        self, app: ASGIApp, login: Login | None = None, hosts: Collection[str] | None = None
    ) -> None:
        self._app = app
        self._login = login
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = self._refused(Headers(scope=scope)) or self._app

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await answer(scope, receive, with_headers)

    def _refused(self, headers: Headers) -> Response | None:
        if self._hosts is not None and host_of(headers.get("host", "")) not in self._hosts:
            return PlainTextResponse("These pages have another host name.\n", 421)
        if self._login is None or self._login.accepts(headers.get("authorization", "")):
            return None
        asks = {"WWW-Authenticate": 'Basic realm="kvbackends", charset="UTF-8"'}
        return PlainTextResponse("A name and a password, or a token, are needed.\n", 401, asks)


def host_of(header: str) -> str:
    """The name in a ``Host`` header, without its port, in lower case; empty if there is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def form_token(request: Request) -> str:
    """The token that forms have to send back: that of the cookie, or a new one."""
    return _token_in(request) or secrets.token_urlsafe(24)


def keep_token(request: Request, response: Response, token: str) -> None:
    """Let the browser keep the token in a cookie that other sites' forms do not send."""
    response.set_cookie(
        COOKIE,
        token,
        path=f"{request.scope.get('root_path', '')}/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def is_own_form(request: Request, token: str) -> bool:
    """True if one of these pages sent the form with this token."""
    origin, kept = request.headers.get("origin"), _token_in(request)
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        return False
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    return bool(kept) and hmac.compare_digest(kept.encode(), token.encode("utf-8", "replace"))


def _token_in(request: Request) -> str:
    try:
        found = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
