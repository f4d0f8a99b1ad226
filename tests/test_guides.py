"""Runs the Python of `docs/guides/*.md` and `docs/results.md`, so that they stay correct.

The blocks of a page run in order, in one namespace, with an `app` whose tasks a worker in a thread
runs.  A comment behind an expression is its value, or ``raises`` with the name of an exception.  A
block that begins with ``# settings`` has an application of its own, which must then open.
"""

import ast
import asyncio
import inspect
import re
import shlex
from configparser import ConfigParser

import click
import pytest
import yaml
from celery import Celery
from celery.contrib.testing.worker import start_worker
from starlette.testclient import TestClient

import kvbackends
from kvbackends.cli.app import COMMANDS, command
from tests.support.pages import ROOT, texts

PAGES = sorted((ROOT / "docs" / "guides").glob("*.md"))
VALUE = re.compile(r"  # (raises )?(.+)$")


@pytest.fixture(scope="module")
def worker():
    """A worker in a thread; tasks that are defined later reach it by `update_strategies`."""
    app = Celery("shop", broker="memory://", backend="kv+memory://guides", set_as_current=False)
    app.conf.broker_transport_options = {"polling_interval": 0.01}
    with start_worker(app, perform_ping_check=False, shutdown_timeout=60) as found:
        yield found
    app.close()


def run(block, names, worker):
    """Run a block as the page shows it, statement by statement."""
    lines = block.splitlines()
    for node in tree(block):
        shown = VALUE.search(lines[node.end_lineno - 1]) if isinstance(node, ast.Expr) else None
        if shown and shown[1]:
            assert error_of(node, names) == shown[2], lines[node.lineno - 1]
        elif shown:
            assert evaluate(node, names) == ast.literal_eval(shown[2]), lines[node.lineno - 1]
        else:
            evaluate(node, names)
        worker.consumer.update_strategies()


def tree(block):
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile(block, "guide", "exec", flags=flags).body


def evaluate(node, names):
    """Return the value of an expression, or run a statement; await it where it has to be."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    if isinstance(node, ast.Expr):
        code = compile(ast.Expression(node.value), "guide", "eval", flags=flags)
    else:
        code = compile(ast.Module([node], []), "guide", "exec", flags=flags)
    value = eval(code, names)
    return asyncio.run(value) if inspect.iscoroutine(value) else value


def error_of(node, names):
    """Return the name of the exception that an expression raises; None if it raises none."""
    try:
        evaluate(node, names)
    except Exception as error:
        return type(error).__name__


def settings(block):
    """Run a block of settings, and open the backend with them."""
    with Celery(broker="memory://", backend="kv+memory://", set_as_current=False) as app:
        exec(block, {"app": app})
        app.backend.store.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_is_correct(page, worker, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names = {"app": worker.app, "__name__": f"guide.{page.stem}"}
    for block in texts(page, "python"):
        if block.startswith("# settings"):
            settings(block)
        else:
            run(block, names, worker)


def test_there_are_values():
    """Expressions with a value behind them are found."""
    found = [VALUE.search(line) for page in PAGES for line in page.read_text().splitlines()]
    assert len([each for each in found if each]) > 20


@pytest.mark.parametrize("shown", ["1 + 1  # 3", "1 + 1  # raises ZeroDivisionError"])
def test_a_wrong_value_is_found(shown, worker):
    with pytest.raises(AssertionError):
        run(shown, {}, worker)


def test_the_endpoints_of_fastapi(worker):
    """The page's application, asked over HTTP, answers as the page says."""
    names = {"app": worker.app, "__name__": "guide.endpoints"}
    for block in texts("docs/guides/fastapi.md", "python"):
        run(block, names, worker)
    with TestClient(names["api"]) as client:
        task_id = client.post("/pages/home").json()["id"]
        answer = client.get(f"/pages/results/{task_id}").json()
        assert answer == {"ready": True, "result": "<h1>home</h1>"}
        told = client.get(f"/pages/progress/{task_id}")
        assert told.headers["content-type"].startswith("text/event-stream")
        assert told.text == 'data: {"state": "SUCCESS"}\n\n'


def test_changes_are_followed(worker, capsys):
    """As `docs/results.md` shows."""
    [block] = texts("docs/results.md", "python")
    worker.app.backend.mark_as_done("order-3", 3)
    run(block, {"kvbackends": kvbackends, "result": worker.app.AsyncResult("order-3")}, worker)
    assert capsys.readouterr().out == "order-3 SUCCESS 3\n"


def test_the_setting_of_airflow_opens_the_store():
    [block] = texts("docs/guides/airflow.md", "ini")
    found = ConfigParser()
    found.read_string(block)
    with Celery(backend=found["celery"]["result_backend"], set_as_current=False) as app:
        assert app.backend.as_uri() == "kv+redis://redis:6379/1"
        app.backend.store.close()


def shown_commands():
    """Return each kvbackends command of the example."""
    for service in compose()["services"].values():
        words = shlex.split(service.get("command", ""))
        if words[:1] == ["kvbackends"]:
            yield words[1], words[2:]
        test = service.get("healthcheck", {}).get("test", [])
        if test[1:2] == ["kvbackends"]:
            yield test[2], test[3:]


def compose():
    return yaml.safe_load((ROOT / "examples" / "compose.yaml").read_text())


def test_the_commands_take_what_is_shown(monkeypatch):
    monkeypatch.setenv("CELERY_APP", "shop")
    shown = list(shown_commands())
    assert len(shown) >= 2
    for name, words in shown:
        assert name in COMMANDS
        found = command.get_command(click.Context(command), name)
        assert found.make_context(name, words)


def copied(dockerfile):
    """Yield what the image takes from the clone, all of which has to be there."""
    for sources in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
            yield source


def test_the_services_of_the_example_fit_together(monkeypatch):
    """No Docker here: names, volumes and the application are checked, and no container."""
    example = compose()
    services = example["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        assert service.get("image") or set(copied(service["build"]["dockerfile_inline"]))
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in example["volumes"]
    address = services["worker"]["environment"]["REDIS"]
    monkeypatch.setenv("REDIS", address)
    names = {"__name__": "shop"}
    exec((ROOT / "examples" / "shop.py").read_text(), names)
    with names["app"] as app:
        assert app.backend.as_uri() == f"kv+{address}/0"
        assert names["total"]([names["price"](order) for order in range(10)]) == 225
        app.backend.store.close()
