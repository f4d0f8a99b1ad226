"""Changes something, after a page has asked whether it really should."""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kvbackends.admin import Admin
from kvbackends.web.asked import Asked
from kvbackends.web.gate import form_token, is_own_form, keep_token
from kvbackends.web.pages import Pages

LARGEST = 64 * 1024
"""Bytes of a form."""


class Action(NamedTuple):
    """Something that an operator does to a result or a chord."""

    title: str
    warning: str
    page: str
    """Where its button is, and where it leads back to."""
    do: Callable[[Admin, str], tuple[str, str]]
    """Does it; what came of it, as a key of `SAID`, and the id to show then."""
    sends: bool = True
    """True if it sends messages, which needs the application's broker."""


def _forget(admin: Admin, task_id: str) -> tuple[str, str]:
    return "forgotten" if admin.delete(ids=[task_id]) else "nothing", task_id


def _again(admin: Admin, task_id: str) -> tuple[str, str]:
    return "sent", admin.again(task_id)


def _dispatch(admin: Admin, group_id: str) -> tuple[str, str]:
    return admin.dispatch(group_id).name.lower(), group_id


def _abandon(admin: Admin, group_id: str) -> tuple[str, str]:
    return "abandoned" if admin.abandon(group_id) else "nothing", group_id


ACTIONS = {
    "forget": Action(
        "Forget the result",
        "It is deleted from the store. A caller that waits for it waits on, until its timeout.",
        "result",
        _forget,
        sends=False,
    ),
    "again": Action(
        "Send the task again",
        "A new task is sent with the same arguments to the same queue. What the first one did may "
        "be done twice.",
        "result",
        _again,
    ),
    "dispatch": Action(
        "Dispatch the chord",
        "Its body is sent, if all parts have arrived. If another worker has claimed the chord, "
        "this waits for the lease of the claim.",
        "chord",
        _dispatch,
    ),
    "abandon": Action(
        "Abandon the chord",
        "Its body fails, its errbacks are called, and its parts are deleted.",
        "chord",
        _abandon,
    ),
}
SAID = {
    "sent": "The task was sent again: this is the new one.",
    "forgotten": "The result was forgotten.",
    "abandoned": "The chord was abandoned: its body has failed.",
    "nothing": "Nothing was done: it is not there any more.",
    "waiting": "Nothing was done: parts are missing.",
    "claimed": "The chord was dispatched: its body was sent.",
}
OTHER = "Nothing was done: the chord is closed already."


def said(code: str) -> str:
    """What came of an action; empty for no code.  No other text can be put into an address."""
    return SAID.get(code, OTHER) if code else ""


def confirm(pages: Pages, request: Request) -> Response:
    """The page that asks."""
    name, action = _action(pages, request)
    token = form_token(request)
    context = {
        "view": "", "title": action.title, "action": name, "warning": action.warning,
        "back": action.page, "token": token, "asked": Asked.of(request.query_params),
    }  # fmt: skip
    response = pages.render(request, "confirm.html", context, 200)
    keep_token(request, response, token)
    return response


async def do(pages: Pages, request: Request) -> Response:
    """Do what was confirmed, and lead back to where the button was."""
    _, action = _action(pages, request)
    form = await _form(request)
    if not is_own_form(request, form.get("token", "")):
        raise HTTPException(403, "The form is not from these pages, or too old: open it again.")
    admin = pages.store.admin
    code, subject = await run_in_threadpool(action.do, admin, form.get("id", ""))
    pages.store.remembered.forget()
    root = request.scope.get("root_path", "")
    query = urlencode({"id": subject, "done": code}, errors="backslashreplace")
    return RedirectResponse(f"{root}/{action.page}?{query}", 303)


def _action(pages: Pages, request: Request) -> tuple[str, Action]:
    name = str(request.path_params["action"])
    if name not in ACTIONS:
        raise HTTPException(404, f"There is no action {name!r}.")
    if not pages.allow_actions:
        raise HTTPException(403, "These pages are read-only: start them with --allow-actions.")
    if ACTIONS[name].sends and not pages.can_send:
        raise HTTPException(403, "This sends messages: start the pages with -A, not with a URL.")
    return name, ACTIONS[name]


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise HTTPException(413, f"A form has at most {LARGEST:,} bytes.")
    parsed = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in parsed.items()}
