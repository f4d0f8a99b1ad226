"""Takes the pictures of docs/images: ``python -m tests.web.screenshots``."""

import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from celery import Celery, chord, group

from kvbackends.web import app_for
from tests.backend.bench import Bench
from tests.web.browser import browsing, serving, shoot, size

IMAGES = Path(__file__).parents[2] / "docs/images"
STATES = ["SUCCESS"] * 30 + ["FAILURE"] * 2 + ["RETRY", "REVOKED"]
TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/orders.py", line 31, in charge
    payments.charge(order, amount)
  File "/srv/shop/payments.py", line 12, in charge
    raise ConnectionError("the payment service refused the connection")
ConnectionError: the payment service refused the connection
"""
TASKS = {"orders.charge": 4, "orders.mail": 5, "catalogue.thumbnail": 9, "reports.nightly": 1}


def shop() -> Any:
    """An application on the memory store, with tasks of every kind."""
    app = Celery("shop", broker="memory://")
    app.conf.update(result_backend="kv+memory://", result_extended=True)
    app.bench = Bench(app)

    @app.task(name="catalogue.thumbnail")
    def thumbnail(*_: Any) -> str:
        return "320x240"

    @app.task(name="catalogue.split")
    def split(path: str) -> list[str]:
        return [f"{path}#{page}" for page in range(6)]

    @app.task(name="catalogue.index")
    def index(parts: Any) -> int:
        return len(parts)

    @app.task(name="orders.charge")
    def charge(*_: Any) -> None:
        raise ConnectionError("the payment service refused the connection")

    return app


def fill(app: Any) -> None:
    """Results of a day, more of them at noon."""
    chosen = random.Random(7)
    now = datetime.now(UTC)
    for number in range(3000):
        done = now - timedelta(hours=abs(chosen.gauss(9, 5)))
        name = chosen.choices(list(TASKS), list(TASKS.values()))[0]
        record = {
            "status": chosen.choice(STATES), "result": number, "traceback": None, "children": [],
            "date_done": done.isoformat(), "name": name, "worker": f"shop@web-{number % 3}",
        }  # fmt: skip
        task_id = f"{chosen.getrandbits(128):032x}"
        app.backend.set(app.backend.get_key_for_task(task_id), app.backend.encode(record))


def canvas(app: Any) -> str:
    """A task, a group with a failed member, and a body; the first task's id."""
    tasks = app.tasks
    thumbs = [tasks["catalogue.thumbnail"].si(page) for page in range(5)]
    parts = group([*thumbs, tasks["orders.charge"].si(42)])
    result = (tasks["catalogue.split"].s("autumn.pdf") | parts).apply_async()
    app.bench.run_all()
    return str(result.parent.id)


def explain(app: Any, task_id: str) -> None:
    """Give a failure a traceback that names no folder of this machine."""
    key = app.backend.get_key_for_task(task_id)
    record = {**app.backend.decode(app.backend.get(key)), "traceback": TRACEBACK}
    app.backend.set(key, app.backend.encode(record))


def chords(app: Any) -> str:
    """Three chords in flight; the id of one."""
    ids = []
    for parts, arrived in ((12, 9), (40, 11), (60, 52)):
        header = [app.tasks["catalogue.thumbnail"].si(page) for page in range(parts)]
        ids.append(chord(header, app=app)(app.tasks["catalogue.index"].s()).parent.id)
        for _ in range(arrived):
            app.bench.run(app.bench.take())
        app.bench.queue.clear()
    for number in range(3):
        meta = {"current": 31 * number + 17, "total": 120, "message": f"reading shelf {number + 1}"}
        app.backend.store_result(f"import-{number}", meta, "PROGRESS")
    return str(ids[0])


def main() -> None:
    """Write the pictures."""
    app = shop()
    fill(app)
    first, waiting = canvas(app), chords(app)
    failed = next(each.id for each in app.bench.sent if "charge" in each.name)
    explain(app, failed)
    pages = {
        "web-results": ("", 1100, 720, False),
        "web-canvas": (f"result?id={first}", 1100, 900, False),
        "web-failure": (f"result?id={failed}", 1100, 720, True),
        "web-progress": ("progress", 1100, 380, False),
        "web-chords": ("chords", 1100, 330, True),
        "web-chord": (f"chord?id={waiting}", 1100, 520, False),
        "web-health": ("health", 1100, 640, False),
        "web-narrow": ("", 390, 780, True),
    }
    IMAGES.mkdir(exist_ok=True)
    with serving(app_for(app)) as address, browsing() as driver:
        for name, (page, width, height, dark) in pages.items():
            size(driver, width, height, dark=dark)
            driver.get(f"{address}/{page}")
            time.sleep(5 if page == "health" else 1)
            shoot(driver, IMAGES / f"{name}.webp")


if __name__ == "__main__":
    main()
