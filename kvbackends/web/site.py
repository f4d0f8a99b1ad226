"""Puts the pages together as an ASGI application."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from kvbackends.admin import Admin
from kvbackends.errors import BrokerUnavailable, KVBackendsError, NotSupported, StoreUnavailable
from kvbackends.web import actions
from kvbackends.web.asked import Asked
from kvbackends.web.gate import Gate, Login
from kvbackends.web.live import events
from kvbackends.web.metrics import TYPE, metrics
from kvbackends.web.pages import Pages
from kvbackends.web.views import VIEWS, Store

STATIC = Path(__file__).with_name("static")


def app_for(
    celery_app: Any, *, allow_actions: bool = False, login: Login | None = None
) -> Starlette:
    """The pages of a Celery application's results, to be mounted or served.

    Args:
        celery_app: Its ``result_backend`` begins with ``kv+``.
        allow_actions: True: results can be forgotten, tasks sent again, chords dispatched and
            abandoned.
        login: None: whoever reaches the pages may see them; the application around them decides.
    """
    return app_of(Admin(celery_app), allow_actions=allow_actions, login=login)


def app_of(
    admin: Admin,
    *,
    allow_actions: bool = False,
    login: Login | None = None,
    hosts: Collection[str] | None = None,
    can_send: bool = True,
) -> Starlette:
    """The pages of any store.

    `hosts` are the names under which they are reached; None: any.  Actions that send messages are
    refused unless `can_send`: a store that was opened by its URL has no broker.
    """
    site = _Site(Pages(Store(admin), allow_actions=allow_actions, can_send=can_send))
    pages = [Route(f"/{name}", site.page(name), name=name) for name in VIEWS if name != "results"]
    return Starlette(
        routes=[
            Route("/", site.page("results"), name="results"),
            *pages,
            Route("/live/{name}", site.live),
            Route("/metrics", site.metrics),
            Route("/confirm/{action}", site.confirm),
            Route("/do/{action}", site.do, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Gate, login=login, hosts=hosts)],
        exception_handlers={
            HTTPException: site.refused,
            ValueError: site.misunderstood,
            NotSupported: site.not_supported,
            StoreUnavailable: site.failed,
            BrokerUnavailable: site.not_sent,
            KVBackendsError: site.impossible,
            **dict.fromkeys(admin.backend.store.transient_errors, site.failed),
        },
    )


class _Site:
    """The endpoints.  Those that ask the store are plain functions, called in threads."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def page(self, name: str) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            query = request.query_params
            done = actions.said(query.get("done", ""))
            return self._pages.page(request, name, Asked.of(query), done)

        return endpoint

    def metrics(self, request: Request) -> Response:
        return Response(metrics(self._pages.store), headers={"Content-Type": TYPE})

    def confirm(self, request: Request) -> Response:
        return actions.confirm(self._pages, request)

    async def do(self, request: Request) -> Response:
        return await actions.do(self._pages, request)

    async def live(self, request: Request) -> Response:
        name, asked = request.path_params["name"], Asked.of(request.query_params)
        if name not in VIEWS:
            raise HTTPException(404)
        stream = events(lambda: self._pages.live(request, name, asked))
        return StreamingResponse(stream, media_type="text/event-stream")

    async def refused(self, request: Request, error: Any) -> Response:
        return self._pages.error(request, "Not possible", str(error.detail), error.status_code)

    async def misunderstood(self, request: Request, error: Exception) -> Response:
        return self._pages.error(request, "Not understood", str(error), 400)

    async def not_supported(self, request: Request, error: Exception) -> Response:
        return self._pages.error(request, "This store cannot tell", str(error), 501)

    async def impossible(self, request: Request, error: Exception) -> Response:
        return self._pages.error(request, "Not possible", str(error), 409)

    async def not_sent(self, request: Request, error: Exception) -> Response:
        return self._pages.error(request, "The broker did not answer", str(error), 503)

    async def failed(self, request: Request, error: Exception) -> Response:
        return self._pages.error(request, "The store did not answer", str(error), 503)
