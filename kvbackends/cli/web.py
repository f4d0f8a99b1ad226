"""``kvbackends web``: serves the pages of `kvbackends.web`."""

import ipaddress
import os
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from kvbackends.cli.target import CannotRun, opened, reported

NEEDED = ("starlette", "jinja2", "uvicorn")
INSTALL = 'pip install "kvbackends[web]"'
VARIABLE = "KVBACKENDS_WEB_AUTH"
LOCAL = ("localhost", "127.0.0.1", "::1")
STOPPING = 1
"""Seconds that open pages, which listen for changes, may delay the end."""
LONGEST = 1.8
"""Seconds that threads which ask the store may delay it: they cannot be interrupted."""


@click.command("web")
@click.argument("urls", metavar="[URL]", nargs=-1)
@click.option("-A", "--app", envvar="CELERY_APP", help="The Celery application.")
@click.option("--bind", default="127.0.0.1:5556", show_default=True, help="Address and port.")
@click.option("--allow-actions", is_flag=True, help="Forget, send again, dispatch, abandon.")
@click.option(
    "--auth",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"A file with name:password or a token in each line; {VARIABLE} may have such lines.",
)
def web(urls: tuple[str, ...], **options: Any) -> None:
    """Show results, chords and the store's health in a browser.

    Example: kvbackends web -A shop --bind 0.0.0.0:5556 --auth /etc/kvbackends/web
    """
    reported(urls, lambda: _serve(urls, **options))


def _serve(
    urls: tuple[str, ...], app: str | None, bind: str, allow_actions: bool, auth: Path | None
) -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise CannotRun(f"{', '.join(missing)} not installed; run: {INSTALL}")
    from kvbackends.web import app_of

    host, port = _address(bind)
    login = _login(auth)
    if login is None and not _is_loopback(host):
        raise CannotRun(
            f"{host} can be reached from other machines: say with --auth or {VARIABLE} who may see "
            "the pages"
        )
    admin = opened(urls, app)
    hosts = None if login else {*LOCAL, host}
    pages = app_of(
        admin, allow_actions=allow_actions, login=login, hosts=hosts, can_send=app is not None
    )
    try:
        _run(pages, host, port)
    finally:
        admin.close()


def _address(bind: str) -> tuple[str, int]:
    host, _, port = bind.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise CannotRun(f"--bind {bind!r} is no address: write 127.0.0.1:5556")
    return host.strip("[]").lower(), int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _login(path: Path | None) -> Any:
    from kvbackends.errors import ConfigurationError
    from kvbackends.web import Login

    text = path.read_text("utf-8") if path else os.environ.get(VARIABLE)
    if text is None:
        return None
    try:
        return Login.of(text)
    except ConfigurationError as error:
        raise CannotRun(f"{path or VARIABLE}: {error}") from None


def _run(app: Any, host: str, port: int) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: Any) -> None:
            super().handle_exit(sig, frame)
            last = threading.Timer(LONGEST, os._exit, [128 + sig])
            last.daemon = True
            last.start()

    shown = f"[{host}]" if ":" in host else host
    click.echo(f"kvbackends web: http://{shown}:{port}/  (Ctrl-C ends it)", err=True)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=STOPPING,
    )
    Server(config).run()
