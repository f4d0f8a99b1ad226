"""The `kvbackends` command of operators."""

import csv
import json
import os
import time
from datetime import datetime

import pytest
from celery import chord, states
from celery.app.task import Context
from click.testing import CliRunner
from kombu.exceptions import OperationalError
from redis import Redis

from kvbackends.admin import Admin, Wanted
from kvbackends.cli.app import COMMANDS, command
from tests.admin.proj import app as proj
from tests.admin.proj import moved


@pytest.fixture
def run():
    """Run the command; its result."""

    def run(*words, status=0, **options):
        done = CliRunner().invoke(command, words, prog_name="kvbackends", **options)
        assert done.exit_code == status, done.output + done.stderr
        return done

    return run


@pytest.fixture
def app(make_app):
    """Three results in a store of memory: two successes and a failure."""
    app = make_app("memory", result_extended=True)
    app.results = [app.tasks[name].delay(1) for name in ("echo", "fail", "echo")]
    app.bench.run_all()
    app.url = app.backend.as_uri()
    return app


ENDS = [("SUCCESS", "echo"), ("FAILURE", "fail")]


@pytest.fixture
def stuck(app):
    """The id of a chord that waits for its last part."""
    result = chord([app.tasks["echo"].s(n) for n in range(2)], app=app)(app.tasks["total"].s())
    app.bench.run(app.bench.take())
    return result.parent.id


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"conformance"}))
def test_help_has_an_example(run, name):
    """Each command explains itself."""
    assert f"Example: kvbackends {name}" in run(name, "--help").output


def test_help_lists_the_commands(run):
    assert all(name in run("--help").output for name in COMMANDS)


def test_results(run, app):
    """A table for people, JSON and CSV for programs; filters and pages."""
    table = run("results", app.url).output.splitlines()
    assert table[0].split() == ["ID", "STATE", "TASK", "WORKER", "DONE", "SIZE"]
    assert [line.split()[1] for line in table[1:]] == ["SUCCESS", "FAILURE", "SUCCESS"]
    (failed,) = json.loads(run("results", app.url, "--failed", "--since", "1h", "--json").output)
    assert (failed["id"], failed["task"]) == (app.results[1].id, "fail")
    rows = list(csv.DictReader(run("results", app.url, "--csv").output.splitlines()))
    assert [row["task"] for row in rows] == ["echo", "fail", "echo"]
    page = run("results", app.url, "--limit", "2")
    cursor = page.stderr.partition("'")[2].partition("'")[0]
    rest = json.loads(run("results", app.url, "--cursor", cursor, "--json").stdout)
    assert [each["id"] for each in rest] == [app.results[0].id]


def test_results_sorted(run, app):
    """The first by another column are chosen from all, not from the newest."""
    app.backend.store_result("large", "x" * 1000, states.SUCCESS)
    app.backend.store_result("newest", 1, states.SUCCESS)
    (row,) = json.loads(run("results", app.url, "--sort", "size", "--limit", "1", "--json").output)
    assert row["id"] == "large"
    rows = json.loads(run("results", app.url, "--sort", "state", "--json").output)
    assert [each["state"] for each in rows] == ["FAILURE", *["SUCCESS"] * 4]
    run("results", app.url, "--sort", "size", "--cursor", "1.0|x", status=2)


def test_count(run, app):
    counts = json.loads(run("count", app.url, "--by", "task", "--json").output)
    assert counts == [{"task": "echo", "count": 2}, {"task": "fail", "count": 1}]


def test_show(run, app):
    """A failure is shown with its exception and traceback; control characters are not."""
    shown = run("show", app.results[1].id, app.url).output
    assert "Boom('boom')" in shown
    assert "Traceback (most recent call last)" in shown
    app.backend.store_result("evil\x1b[2J", "\x1b[2J", states.SUCCESS)
    assert "\x1b" not in run("show", app.url, "evil\x1b[2J").output.replace("evil\x1b[2J", "")
    run("show", app.url, "absent", status=1)


def test_show_a_saved_group(run, app):
    """The states of its tasks are shown, as text and as JSON."""
    app.GroupResult("saved", app.results[:2]).save()
    shown = run("show", app.url, "saved").output.splitlines()
    assert shown[0] == "saved  group"
    told = [(each.id, state, name) for each, (state, name) in zip(app.results, ENDS, strict=False)]
    assert [tuple(each.split()) for each in shown[1:]] == told
    (as_json,) = json.loads(run("show", app.url, "saved", "--json").output)
    assert as_json["is_group"]
    Admin(app).delete(Wanted())


def test_delete_asks_first(run, app):
    """Nothing is deleted without a yes, or without saying what."""
    run("delete", app.url, "--failed", input="n\n", status=1)
    assert "1 results would" in run("delete", app.url, "--failed", "--dry-run").output
    assert Admin(app).count().total() == 3
    run("delete", app.url, status=2)
    run("delete", app.url, "--failed", input="y\n")
    run("delete", app.url, app.results[0].id, "--yes")
    assert Admin(app).count() == {"SUCCESS": 1}


def test_chords(run, app, stuck):
    """The missing part is named; the exit status tells of stuck chords."""
    (row,) = json.loads(run("chords", app.url, "--json").output)
    assert (row["id"], row["done"], row["total"], row["missing"]) == (stuck, 1, 2, 1)
    assert row["body"] == "total"
    run("chords", app.url, "--stuck", "0s", status=1)
    run("chords", app.url, "--stuck", "1h")
    shown = run("chord", app.url, stuck).output
    assert app.bench.queue[0].id in shown
    body = shown.splitlines()[1].split()[-1]  # the id that a client awaits
    assert run("chord", app.url, body).output.splitlines()[0].startswith(stuck)
    run("chord", app.url, "absent", status=1)
    run("chord", app.url, stuck, "--dispatch", status=2)


def test_ended_chords(run, app):
    """The body's id leads to the failed header task, and that to the body."""
    header = [app.tasks[name].s(1) for name in ("echo", "fail")]
    body = chord(header, app=app)(app.tasks["total"].s())
    failed = body.parent.results[1].id
    app.bench.run_all()
    lines = run("chord", app.url, body.id, status=1).output.splitlines()
    assert lines[0].startswith(f"{body.parent.id} is not in flight")
    assert lines[1].split() == ["body", body.id]
    assert lines[2].split() == ["part", failed, "FAILURE", "fail"]
    assert body.parent.id in run("show", app.url, body.id).output
    assert body.id in run("show", app.url, failed).output


def test_chords_are_mended(run, app, stuck, monkeypatch):
    """With the application an incomplete chord is not dispatched, and can be abandoned."""
    moved(monkeypatch, app.url)
    assert "missing" in run("chord", "-A", "tests.admin.proj", stuck, "--dispatch", status=1).output
    run("chord", "-A", "tests.admin.proj", stuck, "--abandon", "--yes")
    assert "not in flight" in run("chord", app.url, stuck, status=1).output


AWAY = {
    "redis://:hidden@127.0.0.1:1/0": "Error 111",
    "sentinel://127.0.0.1:1/0?master_name=m": "No master found for 'm' : 127.0.0.1:1 - ",
    "mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=100": "MongoDB: 127.0.0.1:1",
    "postgresql://u:hidden@127.0.0.1:1/x": "PostgreSQL: ",
    "elasticsearch://127.0.0.1:1/x": "Elasticsearch at ",
}


@pytest.mark.parametrize(("url", "words"), AWAY.items())
def test_a_list_of_a_server_that_is_away(run, url, words):
    """Lists are not retried; the driver's error is one line, with the address."""
    (line,) = run("results", url, status=2).stderr.splitlines()
    shown = f"kvbackends: kv+{url.replace('hidden', '**')} cannot be reached: {words}"
    assert line.startswith(shown)


OTHERS = ["count", "chords", "delete --all --yes", "tail", "copy"]


@pytest.mark.parametrize("words", OTHERS)
def test_other_lists_of_a_server_that_is_away(run, words):
    target = ["memory://"] * (words == "copy")
    (line,) = run(*words.split(), "redis://127.0.0.1:1/0", *target, status=2).stderr.splitlines()
    assert "cannot be reached" in line


def test_a_list_of_a_store_that_has_none(run):
    line = run("results", "memcached://127.0.0.1:1", status=2).stderr.strip()
    assert line == "kvbackends: MemcachedStore cannot list its keys"


def test_check(run, app, make_app):
    """A readiness probe: 0 for a store that works, 1 for one that cannot be reached."""
    assert json.loads(run("check", app.url, "--write", "--json").output)["ok"]
    make_app(url="away://")
    done = run("check", "away://", "--timeout", "1s", status=1)
    assert "ConnectionError" in done.output


def test_rights(run, redis_url):
    """Each right that is missing is named, and those that are there are told."""
    reader, place = f"reader-{os.getpid()}", redis_url.partition("://")[2]
    with Redis.from_url(redis_url) as server:
        server.acl_setuser(
            reader, enabled=True, nopass=True, keys=["*"], channels=["*"],
            commands=["+@read", "+@connection", "+subscribe", "+unsubscribe", "+scan"],
        )  # fmt: skip
        done = run("check", f"redis://{reader}:x@{place}", "--write", "--json", status=1)
        server.acl_deluser(reader)
    checks = {each["name"]: each for each in json.loads(done.output)["checks"]}
    assert {name for name, each in checks.items() if not each["ok"]} == {
        *("write", "replace", "compare and set", "chord", "delete"),
    }
    assert "permission" in checks["write"]["said"]


def test_no_secret(run):
    """No message shows a password, and an error is one line."""
    for words in (("check", "redis://:topsecret@127.0.0.1:1/0", "--timeout", "1s"),):
        done = run(*words, status=1)
        assert "topsecret" not in done.output + done.stderr
    done = run("results", "nosuch://:topsecret@h", status=2)
    assert "no adapter for nosuch://" in done.stderr
    assert "topsecret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_one_store(run, app, monkeypatch):
    """No store, or two, is an error that says what to name; a URL goes before the environment."""
    monkeypatch.setenv("CELERY_APP", "tests.admin.proj")
    moved(monkeypatch, "kv+memory://environment")
    proj.backend.store_result("only", 1, states.SUCCESS)
    assert [each["id"] for each in json.loads(run("results", "--json").output)] == ["only"]
    assert len(json.loads(run("results", app.url, "--json").output)) == 3
    monkeypatch.delenv("CELERY_APP")
    assert "name one store" in run("results", status=2).stderr
    run("results", app.url, app.url, status=2)


def test_tail_and_watch(run, app):
    """Results are shown as they come; tasks are followed to their end."""
    lines = run("tail", app.url, "--since", "1h", "--count", "3", "--interval", "0").output
    assert len(lines.splitlines()) == 3
    done = run("watch", app.url, app.results[0].id, app.results[2].id)
    assert "2 of 2" in done.output
    run("watch", app.url, app.results[1].id, status=1)
    run("watch", app.url, "absent", "--interval", "0", "--timeout", "0", status=1)


def test_sweep_and_stores(run, app):
    assert "0 expired records" in run("sweep", app.url).output
    stores = {each["scheme"]: each for each in json.loads(run("stores", "--json").output)}
    assert stores["memory"]["status"] == "installed"


def test_copy(run, app, make_app):
    """Counts are told, and the status is 1 where something was refused."""
    target = make_app("memory")
    done = json.loads(run("copy", app.url, target.backend.as_uri(), "--json", "--verify").output)
    assert (done["copied"], done["refused"]) == (3, 0)
    assert Admin(target).count().total() == 3
    app.backend.store_result("large", "x" * 20_000, states.SUCCESS)
    small = make_app("small")
    assert "refused: large" in run("copy", app.url, small.backend.as_uri(), status=1).stderr


def test_again(run, monkeypatch):
    """A task is sent again with its arguments, as a child of the old one; or it is said why not."""
    sent, asked = [], []
    monkeypatch.setattr(proj.amqp, "send_task_message", lambda *args, **_: sent.append(args))
    monkeypatch.setattr("kvbackends.cli.again.ask_broker", asked.append)
    request = proj.tasks["proj.mail"].request_stack.top or proj.tasks["proj.mail"].request
    request.update(task="proj.mail", args=["a@b"], kwargs={}, hostname="w@lost")
    proj.backend.store_result("old", ValueError(), states.FAILURE, request=request)
    proj.backend.store_result("bare", ValueError(), states.FAILURE)
    proj.backend.store_result("lost", None, states.STARTED, request=request)
    words = "-A", "tests.admin.proj"
    assert "would be sent" in run("again", *words, "old", "--dry-run").output
    assert not sent
    run("again", *words, "old", "--yes")
    ((_, name, message),) = sent
    assert (name, message.headers["parent_id"]) == ("proj.mail", "old")
    assert "a@b" in message.headers["argsrepr"]
    assert "result_extended" in run("again", *words, "bare", "--yes", status=1).stderr
    monkeypatch.setattr(proj.control, "ping", lambda **_: [{"w@here": {"ok": "pong"}}])
    (orphan,) = json.loads(run("orphans", *words, "--json", status=1).output)
    assert (orphan["id"], orphan["worker"]) == ("lost", "w@lost")
    assert abs(time.time() - datetime.fromisoformat(orphan["since"]).timestamp()) < 300
    Admin(proj).delete(Wanted())


def test_the_broker_goes_away(run, monkeypatch):
    """It is asked once for all tasks; where sending ends in the middle, it is told how far."""
    sent, asked = [], []

    def send(*_, **__):
        if sent:
            raise OperationalError("refused")
        sent.append(1)

    monkeypatch.setattr(proj.amqp, "send_task_message", send)
    monkeypatch.setattr("kvbackends.cli.again.ask_broker", asked.append)
    request = Context(task="proj.mail", args=["a@b"], kwargs={})
    for each in "abc":
        proj.backend.store_result(each, ValueError(), states.FAILURE, request=request)
    done = run("again", "-A", "tests.admin.proj", *"abc", "--yes", status=2)
    assert "a  proj.mail  sent as" in done.output
    assert "1 of 3 tasks were sent before" in done.stderr
    assert "went away while b was sent again: refused" in done.stderr
    assert asked == [proj]
    Admin(proj).delete(Wanted())
