"""Renders pages, whole or the part of them that lives."""

from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kvbackends.errors import KVBackendsError
from kvbackends.web import shown
from kvbackends.web.asked import Asked
from kvbackends.web.views import VIEWS, Context, Store

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("kvbackends.web"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)
TEMPLATES.filters.update(
    cut=shown.cut,
    short=shown.short,
    moment=shown.moment,
    period=shown.period,
    bytes=shown.size,
)


class Pages:
    """The pages of one store.

    Args:
        store: Tells what they show.
        allow_actions: True if they have buttons that change something.
        can_send: True if the store's app has a broker.
    """

    def __init__(self, store: Store, *, allow_actions: bool, can_send: bool) -> None:
        self.store = store
        self.allow_actions = allow_actions
        self.can_send = can_send
        self.url = store.admin.backend.as_uri()
        self._errors: tuple[type[BaseException], ...] = (
            KVBackendsError,
            *store.admin.backend.store.transient_errors,
        )

    def page(self, request: Request, name: str, asked: Asked, done: str = "") -> Response:
        """A whole page, which begins with what was `done`; 404 where nothing is stored to show."""
        view = VIEWS[name]
        context = view.context(self.store, asked)
        status = 404 if context.get("missing") and asked.id else 200
        context.update(view=name, title=view.title, asked=asked, done=done)
        return self.render(request, f"{name}.html", context, status)

    def live(self, request: Request, name: str, asked: Asked) -> str:
        """The part of a page that changes."""
        try:
            context = VIEWS[name].context(self.store, asked)
        except self._errors as error:
            return self._text(request, "live/error.html", {"said": str(error)})
        return self._text(request, f"live/{name}.html", {**context, "view": name, "asked": asked})

    def error(self, request: Request, title: str, said: str, status: int) -> Response:
        """A page that says what went wrong; JSON for a program that asks for it."""
        if request.headers.get("Accept", "").startswith("application/json"):
            return JSONResponse({"error": title, "detail": said}, status)
        context = {"view": "", "title": title, "said": said, "asked": Asked()}
        return self.render(request, "error.html", context, status)

    def render(self, request: Request, template: str, context: Context, status: int) -> Response:
        """A page of any template."""
        text = self._text(request, template, context)
        # Half of a character may be stored: JSON has "\ud800".
        content = text.encode("utf-8", "backslashreplace")
        return Response(content, status, media_type="text/html")

    def _text(self, request: Request, template: str, context: Context) -> str:
        root = request.scope.get("root_path", "")

        def path(name: str = "", **query: Any) -> str:
            asked = {key: str(value) for key, value in query.items() if value not in {"", None}}
            pairs = urlencode(asked, encoding="utf-8", errors="backslashreplace")
            return f"{root}/{name}?{pairs}" if pairs else f"{root}/{name}"

        return TEMPLATES.get_template(template).render(
            context,
            path=path,
            url=self.url,
            allow_actions=self.allow_actions,
            may_send=self.allow_actions and self.can_send,
        )
