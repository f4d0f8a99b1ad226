"""Takes pictures of the command's output, as SVG: ``python tools/recordings.py``.

They show a store with a few results and a chord, made for it.  Ids, times and latencies differ at
each run, so nothing compares them: take them again when the output has changed.
"""

import os
import pty
import re
import subprocess
import sys
import tempfile
import textwrap
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

IMAGES = Path(__file__).parent.parent / "docs" / "images"
WIDTH = 112
# No fonts from other servers.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)

APP = """
from celery import Celery, chord
from celery.app.task import Context

app = Celery("shop", broker="memory://", backend="kv+sqlite:///{folder}/results.db")
app.conf.result_extended = True


@app.task(name="shop.price")
def price(order):
    return order * 5


@app.task(name="shop.total")
def total(prices):
    return sum(prices)


def fill():
    for number, (task, value) in enumerate(
        [("shop.price", 15), ("shop.price", 20), ("shop.mail", ValueError("no such customer"))] * 2
    ):
        id = f"{{number}}c6b4a0e-2f6d-4a86-a0f4-2d4a3f5c7a1{{number}}"
        request = Context(id=id, task=task, args=[number], kwargs={{}}, hostname="celery@web-1")
        if isinstance(value, Exception):
            app.backend.mark_as_failure(id, value, traceback="…", request=request)
        else:
            app.backend.mark_as_done(id, value, request=request)
    body = chord([price.s(order) for order in range(4)])(total.s())
    called = total.s().set(task_id=body.id)
    for index, child in enumerate(body.parent.results[:3]):
        request = Context(
            id=child.id, task="shop.price", args=[index], kwargs={{}}, hostname="celery@web-1",
            group=body.parent.id, group_index=index, chord=called,
        )
        app.backend.mark_as_done(child.id, 5, request=request)
"""

COMMANDS = {
    "cli-results": "kvbackends results -A shop",
    "cli-chords": "kvbackends chords -A shop",
    "cli-check": "kvbackends check -A shop",
}


def typed(command: str, folder: Path) -> str:
    """Return what a command writes to a terminal, with its colours."""
    reading, writing = pty.openpty()
    variables = {"COLUMNS": str(WIDTH), "TERM": "xterm-256color", "PYTHONPATH": str(folder)}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    running = subprocess.Popen(
        command.split(),
        cwd=folder,
        env={**os.environ, **variables, "PATH": path},
        stdout=writing,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    shown = b""
    while True:
        try:
            more = os.read(reading, 65536)
        except OSError:  # the terminal is closed
            break
        shown += more
    os.close(reading)
    running.wait()
    return shown.decode().replace("\r\n", "\n")


def picture(command: str, shown: str) -> str:
    """Return the terminal as SVG."""
    console = Console(record=True, width=WIDTH, file=StringIO())
    console.print(Text(f"$ {command}", style="bold"))
    console.print(Text.from_ansi(shown))
    return console.export_svg(title="", code_format=FORMAT, unique_id="terminal")


def main() -> None:
    """Make the store, and take the pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "shop.py").write_text(textwrap.dedent(APP.format(folder=folder)))
        subprocess.run([sys.executable, "-c", "import shop; shop.fill()"], cwd=folder, check=True)
        for image, command in COMMANDS.items():
            shown = typed(command, folder).replace(str(folder), "/var/lib/shop")
            (IMAGES / f"{image}.svg").write_text(picture(command, shown))


if __name__ == "__main__":
    main()
