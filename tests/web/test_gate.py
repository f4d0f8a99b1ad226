"""Whom the pages answer, and what may be changed."""

import base64
import re
import signal
import socket
import subprocess
import sys
import time

import anyio
import pytest
from click.testing import CliRunner

from kvbackends import ConfigurationError
from kvbackends.admin import Admin
from kvbackends.cli.web import web
from kvbackends.web import Login, app_for, app_of
from kvbackends.web.live import events
from tests.servers.process import free_ports
from tests.web.conftest import TestClient
from tests.web.test_pages import applied, ran

LINES = "# who may see them\nanna:s3cret:x\n\nt0ken-of-prometheus\n"


def basic(pair):
    return "Basic " + base64.b64encode(pair.encode()).decode()


class TestLogin:
    @pytest.mark.parametrize(
        ("header", "accepted"),
        [
            (basic("anna:s3cret:x"), True),
            (basic("anyone:t0ken-of-prometheus"), True),
            ("Bearer t0ken-of-prometheus", True),
            (basic("anna:s3cret"), False),
            (basic("anna:"), False),
            (basic(":"), False),
            (basic("x:anna:s3cret:x"), False),
            ("Bearer anna:s3cret:x", False),
            ("Bearer", False),
            ("Basic ????", False),
            ("Basic " + base64.b64encode(b"\xff\xfe").decode(), False),
            ("", False),
        ],
    )
    def test_accepts(self, header, accepted):
        """Passwords belong to their names; a token is a bearer's, or anybody's password."""
        assert Login.of(LINES).accepts(header) is accepted

    def test_nobody(self):
        """A file without a line is no login, rather than one that accepts all."""
        with pytest.raises(ConfigurationError, match="no token"):
            Login.of("# nobody\n\n")

    @pytest.mark.parametrize(
        "path", ["/", "/metrics", "/live/results", "/static/kvbackends.js", "/x"]
    )
    def test_every_path_is_behind_it(self, memory_app, path):
        """Without a login nothing is shown, not even whether a path exists."""
        with TestClient(app_for(memory_app, login=Login.of(LINES))) as client:
            answer = client.get(path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Basic")
            assert client.get("/", headers={"Authorization": basic("anna:s3cret:x")}).is_success


class TestHeaders:
    @pytest.mark.parametrize("path", ["/", "/result?id=unknown", "/static/kvbackends.css", "/x/y"])
    def test_on_every_answer(self, memory_app, path):
        """Browsers are told to run no script but ours, to frame nothing, and to keep nothing."""
        with TestClient(app_for(memory_app)) as client:
            headers = client.get(path).headers
        assert "script-src 'self';" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("127.0.0.1:5556", 200),
            ("LOCALHOST", 200),
            ("[::1]:1", 200),
            ("evil.example", 421),
            ("[", 421),
        ],
    )
    def test_names_of_the_host(self, memory_app, host, status):
        """A page under a foreign name, which leads to this machine, is not served."""
        pages = app_of(Admin(memory_app), hosts={"127.0.0.1", "localhost", "::1"})
        with TestClient(pages) as client:
            assert client.get("/health", headers={"Host": host}).status_code == status

    def test_no_inline_script_or_style(self, memory_app):
        """The policy of the pages forbids both, so no page has any."""
        result = ran(memory_app, "fail")
        with TestClient(app_for(memory_app, allow_actions=True)) as client:
            for path in ("/", f"/result?id={result.id}", "/chords", "/health", "/progress"):
                assert not re.search(r"<style|\bstyle=|\bon\w+=|<script>", client.get(path).text)


def confirmed(client, action, subject, **headers):
    """Open the page that asks, and send its form; the answer."""
    page = client.get(f"/confirm/{action}", params={"id": subject})
    assert page.status_code == 200
    token = re.search(r'name="token" value="([^"]+)"', page.text)[1]
    return client.post(f"/do/{action}", data={"id": subject, "token": token}, headers=headers)


class TestActions:
    @pytest.mark.parametrize("action", ["forget", "again", "dispatch", "abandon"])
    def test_read_only_by_default(self, app, client, action):
        """Without --allow-actions nothing is changed, and no page has a button for it."""
        result = ran(app, "echo", 1)
        assert client.get(f"/confirm/{action}?id={result.id}").status_code == 403
        assert client.post(f"/do/{action}", data={"id": result.id}).status_code == 403
        assert "/confirm/" not in client.get(f"/result?id={result.id}").text
        assert result.get(timeout=5) == 1

    def test_forget(self, app, acting):
        """A forgotten result is not there any more."""
        result = ran(app, "echo", 1)
        assert f"/confirm/forget?id={result.id}" in acting.get(f"/result?id={result.id}").text
        answer = confirmed(acting, "forget", result.id)
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/result?id={result.id}&done=forgotten"
        page = acting.get(answer.headers["location"])
        assert page.status_code == 404
        assert "The result was forgotten." in page.text

    def test_again(self, app, acting):
        """A task is sent again as a new one with the same arguments; its page follows."""
        result = ran(app, "add", 20, 22)
        assert f"/confirm/again?id={result.id}" in acting.get(f"/result?id={result.id}").text
        answer = confirmed(acting, "again", result.id)
        assert answer.status_code == 303
        app.bench.run_all()
        page = acting.get(answer.headers["location"]).text
        assert "this is the new one" in page
        assert ">42</pre>" in page
        assert app.bench.sent[-1].id in answer.headers["location"]
        assert app.bench.sent[-1].request["parent_id"] == result.id

    def test_again_without_arguments(self, app, acting):
        """A record that has not kept its arguments is told so; nothing is sent."""
        app.backend.store_result("bare", 1, "SUCCESS")
        answer = confirmed(acting, "again", "bare")
        assert answer.status_code == 409
        assert "result_extended" in answer.text
        assert not app.bench.sent

    @pytest.mark.parametrize(
        ("action", "status"), [("again", 403), ("abandon", 403), ("forget", 200)]
    )
    def test_nothing_is_sent_without_a_broker(self, memory_app, action, status):
        """Pages of a store that was opened by its URL refuse what would send messages."""
        result = ran(memory_app, "echo", 1)
        pages = app_of(Admin(memory_app), allow_actions=True, can_send=False)
        with TestClient(pages) as client:
            assert client.get(f"/confirm/{action}?id={result.id}").status_code == status
            assert "/confirm/again" not in client.get(f"/result?id={result.id}").text

    def test_a_broker_that_is_down(self, memory_app, monkeypatch):
        """Nothing is sent, the chord stays complete, and the page says what to look at."""
        app, result = memory_app, ran(memory_app, "fail")
        group_id = applied(app).parent.id
        app.conf.broker_url = f"amqp://anna:s3cret@127.0.0.1:{free_ports(1)[0]}//"
        with TestClient(app_for(app, allow_actions=True), follow_redirects=False) as client:
            for action, subject in (("again", result.id), ("dispatch", group_id)):
                answer = confirmed(client, action, subject)
                assert answer.status_code == 503
                assert "The broker did not answer" in answer.text
                assert "broker_url" in answer.text
                assert "s3cret" not in answer.text
            asked = confirmed(client, "again", result.id, Accept="application/json")
            assert asked.json()["error"] == "The broker did not answer"
        assert Admin(app).chord(group_id).done == 2

    def test_abandon(self, app, acting):
        """The body of an abandoned chord fails."""
        result = applied(app)
        assert "/confirm/abandon" in acting.get(f"/chord?id={result.parent.id}").text
        assert confirmed(acting, "abandon", result.parent.id).status_code == 303
        assert result.state == "FAILURE"
        assert "No chord is in flight" in acting.get("/chords").text

    def test_dispatch_of_an_incomplete_chord(self, app, acting):
        """A chord whose parts are missing is left alone."""
        result = applied(app)
        answer = confirmed(acting, "dispatch", result.parent.id)
        assert answer.headers["location"].endswith("&done=waiting")
        assert "parts are missing" in acting.get(answer.headers["location"]).text
        app.bench.run_all()
        assert result.get(timeout=5) == 3

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Cookie": "kvbackends-form=other"},
        ],
    )
    def test_forms_of_other_sites(self, memory_app, headers):
        """A form that another site sends changes nothing."""
        result = ran(memory_app, "echo", 1)
        with TestClient(app_for(memory_app, allow_actions=True)) as client:
            assert confirmed(client, "forget", result.id, **headers).status_code == 403
        assert result.get(timeout=5) == 1

    @pytest.mark.parametrize(
        "data", [{}, {"token": ""}, {"token": "guessed"}, {"token": "é\ud800"}]
    )
    def test_forms_without_a_token(self, memory_app, data):
        """Neither no cookie and no token nor a guessed one is accepted."""
        result = ran(memory_app, "echo", 1)
        with TestClient(app_for(memory_app, allow_actions=True)) as client:
            body = {"id": result.id, **{k: v.encode("utf-8", "replace") for k, v in data.items()}}
            assert client.post("/do/forget", data=body).status_code == 403
            assert client.get("/do/forget").status_code == 405
            assert client.post("/do/forget", content=b"x" * 100_000).status_code == 413
            assert client.post("/do/unknown", data=body).status_code == 404
        assert result.get(timeout=5) == 1

    def test_no_text_from_an_address(self, memory_app):
        """What was done is told by a code: an address cannot put words into a page."""
        with TestClient(app_for(memory_app)) as client:
            assert "call this number" not in client.get("/?done=call+this+number").text


class TestLive:
    def test_only_changes_are_sent(self, monkeypatch):
        """An event is sent at first and when the page has changed; a comment otherwise."""
        monkeypatch.setattr("kvbackends.web.live.PAUSE", 0.001)
        texts = iter(["one\r\ntwo", "one\r\ntwo", "three"])

        async def first():
            stream = events(lambda: next(texts))
            found = [await anext(stream) for _ in range(3)]
            await stream.aclose()
            return found

        assert anyio.run(first) == [
            b"event: changed\ndata: one\ndata: two\n\n",
            b": unchanged\n\n",
            b"event: changed\ndata: three\n\n",
        ]


class TestCommand:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], "name one store"),
            (["kv+memory://", "-A", "shop"], "name one store"),
            (["kv+memory://", "--bind", "0.0.0.0:1"], "who may see"),
            (["kv+memory://", "--bind", "[::]:1"], "who may see"),
            (["kv+memory://", "--bind", "example.org:1"], "who may see"),
            (["kv+memory://", "--bind", "5556"], "is no address"),
            (["kv+memory://", "--bind", "127.0.0.1:99999"], "is no address"),
            (["kv+nothing://"], "nothing"),
            (["-A", "no_such_module"], "cannot be loaded"),
            (["kv+memory://", "--auth", "/does/not/exist"], "does not exist"),
        ],
    )
    def test_refused(self, arguments, said):
        """What cannot be served is refused with what to write; nothing is served."""
        run = CliRunner().invoke(web, arguments)
        assert run.exit_code in {1, 2}
        assert said in run.output

    @pytest.mark.parametrize("bind", ["127.0.0.1:1", "[::1]:1", "localhost:1"])
    def test_served(self, monkeypatch, bind):
        """A loopback address is served without a login, under names of this machine only."""
        served = []
        monkeypatch.setattr("kvbackends.cli.web._run", lambda app, *_: served.append(app))
        run = CliRunner().invoke(web, ["kv+memory://", "--bind", bind])
        assert run.exit_code == 0, run.output
        with TestClient(served[0]) as client:
            assert client.get("/", headers={"Host": bind}).status_code == 200
            assert client.get("/", headers={"Host": "evil.example"}).status_code == 421

    def test_served_to_all_with_a_login(self, monkeypatch, tmp_path):
        """A public address is served with a login, which is never printed."""
        served = []
        monkeypatch.setattr("kvbackends.cli.web._run", lambda app, *_: served.append(app))
        (tmp_path / "auth").write_text(LINES)
        arguments = ["kv+memory://", "--bind", "0.0.0.0:1", "--auth", str(tmp_path / "auth")]
        run = CliRunner().invoke(web, arguments)
        assert run.exit_code == 0, run.output
        assert "s3cret" not in run.output
        with TestClient(served[0]) as client:
            assert client.get("/").status_code == 401

    def test_login_from_the_environment(self, monkeypatch):
        """The variable has what the file would have; an empty one is no login."""
        monkeypatch.setattr("kvbackends.cli.web._run", lambda *_: None)
        for text, status in ((LINES, 0), ("", 2)):
            run = CliRunner(env={"KVBACKENDS_WEB_AUTH": text}).invoke(
                web, ["kv+memory://", "--bind", "0.0.0.0:1"]
            )
            assert run.exit_code == status, run.output

    def test_ends_with_open_pages(self):
        """Ctrl-C ends the pages while one is live and its thread waits for a silent server."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            patient = "retry_timeout=300&client_retry_timeout=300"
            url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0?{patient}"
            (port,) = free_ports(1)
            command = [sys.executable, "-m", "kvbackends.cli", "web", url]
            pages = subprocess.Popen([*command, "--bind", f"127.0.0.1:{port}"])
            try:
                page = connected(port, pages)
                page.sendall(b"GET /live/result?id=x HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b"200 OK" in page.recv(1000)
                waiting = silent.accept()
                pages.send_signal(signal.SIGINT)
                assert pages.wait(ENDS_WITHIN) == 128 + signal.SIGINT
                page.close()
                waiting[0].close()
            finally:
                pages.kill()
                pages.wait()


ENDS_WITHIN = 20
"""Seconds on a busy machine; a read of a silent server is repeated for longer."""


def connected(port, process):
    """A connection to the port, as soon as the process listens."""
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError("the pages are not served")
