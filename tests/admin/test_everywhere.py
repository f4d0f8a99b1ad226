"""The command and the pages, on every store that lists."""

import json

import pytest
from celery import chord
from click.testing import CliRunner
from starlette.testclient import TestClient

from kvbackends.admin import Admin, Wanted
from kvbackends.cli.app import command
from kvbackends.web import app_for
from tests.admin import test_commands
from tests.admin.proj import app as proj

PAGES = ("/", "/progress", "/chords", "/health", "/metrics")


@pytest.fixture
def stored(app):
    """A success, a failure and a chord that waits; the ids of the failure and of the chord."""
    failed = app.tasks["fail"].delay()
    app.tasks["echo"].delay(1)
    app.bench.run_all()
    waits = chord([app.tasks["echo"].s(n) for n in range(2)], app=app)(app.tasks["total"].s())
    yield failed.id, waits.parent.id
    app.bench.run_all()
    Admin(app).delete(Wanted())


def test_the_command_and_the_pages(app, stored, monkeypatch):
    """Each command tells, and each page shows, what is stored."""
    failed, waits = stored
    test_commands.moved(monkeypatch, app.backend.as_uri(include_password=True))
    proj.conf.result_backend_transport_options = app.conf.result_backend_transport_options

    def told(*words):
        words = (*words, "-A", "tests.admin.proj", "--json")
        return json.loads(CliRunner().invoke(command, words).stdout)

    assert [each["id"] for each in told("results", "--failed")] == [failed]
    assert {each["state"]: each["count"] for each in told("count")} == {"SUCCESS": 1, "FAILURE": 1}
    assert told("show", failed)[0]["info"]["state"] == "FAILURE"
    assert [each["id"] for each in told("chords")] == [waits]
    assert told("chord", waits)["done"] == 0
    assert told("check", "--write", "--timeout", "60s")["ok"]
    monkeypatch.setattr(proj.control, "ping", lambda **_: [])
    for words, status, text in (
        (("results", "--sort", "size", "--limit", "1"), 0, failed),
        (("watch", failed, "--timeout", "60s"), 1, "1 of 1"),
        (("tail", "--failed", "--since", "1h", "--count", "1", "--interval", "0"), 0, failed),
        (("orphans",), 0, ""),
        (("again", failed, "--dry-run"), 0, "would be sent"),
        (("copy", app.backend.as_uri(include_password=True)), 0, "0 copied, 2 present"),
        (("delete", "--failed", "--dry-run"), 0, "1 results would be deleted"),
        (("sweep",), 0, "0 expired records"),
    ):
        done = CliRunner().invoke(command, (*words, "-A", "tests.admin.proj"))
        assert done.exit_code == status, (words, done.output)
        assert text in done.output
    proj.backend.store.close()
    proj.conf.result_backend_transport_options = {}
    with TestClient(app_for(app)) as client:
        assert [client.get(page).status_code for page in PAGES] == [200] * len(PAGES)
        assert failed in client.get("/?state=FAILURE").text
        assert "Boom" in client.get(f"/result?id={failed}").text
        assert waits in client.get("/chords").text
        assert client.get(f"/chord?id={waits}").status_code == 200
