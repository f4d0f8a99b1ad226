"""What the pages show, on stores of several kinds."""

import datetime as dt
import pickle
import re

import pytest
from celery import chord, group

from kvbackends import NotSupported, StoreUnavailable
from kvbackends.web.tally import Tally
from tests.web.conftest import TestClient, app_for

HOSTILE = "<script>alert(1)</script>\"'&</pre>"


def ran(app, name, *args):
    result = app.tasks[name].delay(*args)
    app.bench.run_all()
    return result


def applied(app, parts=3, arrived=2):
    """A chord, some of whose parts have arrived; its body's result."""
    result = chord([app.tasks["echo"].s(n) for n in range(parts)], app=app)(app.tasks["total"].s())
    for _ in range(arrived):
        app.bench.run(app.bench.take())
    return result


class TestResults:
    def test_listed_with_counts(self, app, client):
        """The first page lists results with their states, tasks and workers, and counts them."""
        done = [ran(app, "echo", 1), ran(app, "fail")]
        page = client.get("/").text
        assert all(f"/result?id={each.id}" in page for each in done)
        assert "<strong>2</strong> results" in page
        assert 'role="img" aria-label="Results over time' in page
        assert "1 FAILURE, 1 SUCCESS" in page
        assert "bench@here" in page

    @pytest.mark.parametrize(
        ("query", "count"),
        [
            ("state=FAILURE", 1),
            ("task=echo", 2),
            ("task=echo&state=FAILURE", 0),
            ("worker=bench@here", 3),
            ("since=1h", 3),
            ("until=1h", 0),
            ("since=2020-01-31T12:00", 3),
        ],
    )
    def test_filtered(self, app, client, query, count):
        """Results are filtered by state, task, worker and time."""
        for name in ("echo", "fail", "echo"):
            ran(app, name, 1)
        assert client.get(f"/?{query}").text.count("<td>") == 5 * count

    def test_in_pages(self, app, client, monkeypatch):
        """A page leads to the following ones by a cursor, and keeps the filters."""
        monkeypatch.setattr("kvbackends.web.views.ROWS", 2)
        done = {ran(app, "echo", n).id for n in range(5)}
        shown, address = [], "/?task=echo"
        while address:
            page = client.get(address).text
            shown += re.findall(r'id="to-([\w-]+)"', page)
            more = re.search(r'id="more" href="([^"]+)"', page)
            address = more and more[1].replace("&amp;", "&")
            assert not more or "task=echo" in address
        assert len(shown) == 5
        assert set(shown) == done

    def test_times_that_are_none(self, client):
        """A time that cannot be read is told with what to write."""
        answer = client.get("/?since=yesterday")
        assert answer.status_code == 400
        assert "write how long ago" in answer.text

    def test_a_store_that_cannot_list(self, memory_app, memory_client, monkeypatch):
        """A store that does not list its keys says so; single results are shown all the same."""

        def scan(_prefix=""):
            raise NotSupported("this store cannot list its keys")

        result = ran(memory_app, "echo", 1)
        monkeypatch.setattr(memory_app.backend.store, "scan", scan, raising=False)
        answer = memory_client.get("/")
        assert answer.status_code == 501
        assert "cannot list its keys" in answer.text
        assert memory_client.get(f"/result?id={result.id}").status_code == 200
        assert "kvbackends_up 1" in memory_client.get("/metrics").text


@pytest.fixture
def memory_client(memory_app):
    with TestClient(app_for(memory_app)) as client:
        yield client


class TestResult:
    def test_success(self, app, client):
        """A result has its value, its arguments, its expiry and its record's fields."""
        result = ran(app, "add", 20, 22)
        page = client.get(f"/result?id={result.id}").text
        for text in ("SUCCESS", '<pre tabindex="0">42</pre>', "expires in", "bench@here", "args"):
            assert text in page

    def test_failure(self, app, client):
        """A failure has its exception and its traceback."""
        page = client.get(f"/result?id={ran(app, 'fail').id}").text
        assert "Boom: boom" in page
        assert "Traceback (most recent call last)" in page

    def test_nothing_stored(self, client):
        """An id of which nothing is stored answers 404, and still lives."""
        answer = client.get("/result?id=unknown")
        assert answer.status_code == 404
        assert "Nothing is stored" in answer.text
        assert 'data-live="/live/result?id=unknown"' in answer.text

    def test_picture(self, app, client):
        """The children of a result are drawn with their states, and lead to their pages."""
        result = (
            app.tasks["echo"].s(1) | group(app.tasks["add"].s(n) for n in range(3))
        ).apply_async()
        app.bench.run_all()
        page = client.get(f"/result?id={result.parent.id}").text
        picture = page[page.index('<div class="wide picture"') :]
        assert "group of 3" in picture
        assert "3 SUCCESS" in picture
        assert all(f'href="/result?id={each.id}"' in picture for each in result.results)
        child = client.get(f"/result?id={result.results[0].id}").text
        assert f'aria-label="echo SUCCESS {result.parent.id}"' in child

    def test_large_values_are_cut(self, memory_app, memory_client):
        """Of a large value the beginning is shown, and how much follows."""
        page = memory_client.get(f"/result?id={ran(memory_app, 'large', 100_000).id}").text
        assert "90,000 more characters" in page
        assert len(page) < 30_000

    @pytest.mark.parametrize(
        "value", [HOSTILE, {HOSTILE: [HOSTILE]}, "\ud800", "\u202egpj.exe\x00"]
    )
    def test_values_are_text(self, memory_app, memory_client, value):
        """No part of a value becomes a part of the page: markup, half a character, direction."""
        result = memory_app.tasks["echo"].delay(1)
        memory_app.backend.store_result(result.id, value, "SUCCESS")
        answer = memory_client.get(f"/result?id={result.id}")
        assert answer.status_code == 200
        assert answer.text.count("<script") == 1
        assert answer.text.count("<pre") == answer.text.count("</pre>")
        assert not set(answer.text) & {"\x00", "\u202e"}

    def test_nothing_is_unpickled(self, memory_app, memory_client):
        """Of an encoding that the app does not accept the state is shown, and no byte is run."""

        class Bomb:
            def __reduce__(self):
                return (pytest.fail, ("it was unpickled",))

        value = pickle.dumps({"status": "SUCCESS", "result": Bomb()})
        memory_app.backend.set(memory_app.backend.get_key_for_task("pickled"), value)
        assert "does not accept its encoding" in memory_client.get("/result?id=pickled").text
        assert "pickled" in memory_client.get("/").text

    def test_names_and_ids_are_text(self, memory_app, memory_client):
        """Neither states nor ids become a part of the page, wherever they stand."""
        memory_app.backend.store_result(HOSTILE, HOSTILE, HOSTILE)
        for address in ("/", "/result", "/progress", "/live-is-not-a-page"):
            page = memory_client.get(address, params={"id": HOSTILE, "state": HOSTILE}).text
            assert page.count("<script") == 1
        assert "alert(1)" in memory_client.get("/").text


class TestProgress:
    def test_bars(self, app, client):
        """A task that tells how far it is has a bar, on its page and in the list of such tasks."""
        meta = {"current": 3, "total": 12, "message": "reading <b>"}
        app.backend.store_result("slow-task", meta, "PROGRESS")
        for address in ("/progress", "/result?id=slow-task"):
            page = client.get(address).text
            assert '<progress max="12" value="3"' in page
            assert "reading &lt;b&gt;" in page

    @pytest.mark.parametrize("meta", [{"current": "1", "total": 2}, {"current": 1, "total": 0}, 7])
    def test_other_meta_is_no_progress(self, memory_app, memory_client, meta):
        """What is not a number of a number has no bar."""
        memory_app.backend.store_result("odd-task", meta, "PROGRESS")
        assert "<progress" not in memory_client.get("/result?id=odd-task").text
        assert memory_client.get("/progress").status_code == 200


class TestChords:
    def test_in_flight(self, app, client):
        """Chords in flight show their parts; one names those that are missing."""
        result = applied(app)
        page = client.get("/chords").text
        assert '<progress max="3" value="2"' in page
        assert "<strong>1</strong> in flight" in page
        page = client.get(f"/chord?id={result.parent.id}").text
        assert "Missing parts" in page
        assert f'/result?id={result.parent.results[2].id}"' in page
        assert "total" in page
        assert "Missing parts" in client.get(f"/chord?id={result.id}").text  # by the body's id

    def test_after_its_end(self, app, client):
        """The body's page leads to the header, its failed part is first, and draws its body."""
        header = [app.tasks[name].s(1) for name in ("echo", "fail")]
        body = chord(header, app=app)(app.tasks["total"].s())
        app.bench.run_all()
        failed = body.parent.results[1].id
        page = client.get(f"/result?id={body.id}").text
        assert f'href="/chord?id={body.parent.id}"' in page
        assert f'id="box-{failed}"' in page
        page = client.get(f"/chord?id={body.parent.id}").text
        assert "has ended" in page
        assert page.index(failed) < page.index(body.parent.results[0].id)
        page = client.get(f"/result?id={failed}").text
        assert f'id="box-{body.id}" aria-label="task FAILURE' in page

    def test_not_in_flight(self, client):
        """A chord that is dispatched, or never was, is told so."""
        answer = client.get("/chord?id=nothing")
        assert answer.status_code == 404
        assert "not in flight" in answer.text


class TestOthers:
    def test_a_store_that_is_away(self, memory_app, memory_client, monkeypatch):
        """A store that does not answer is told on the page, in its live part, and to Prometheus."""

        def away(*_):
            raise StoreUnavailable("store:// did not answer")

        for name in ("scan", "get", "get_batch"):
            monkeypatch.setattr(memory_app.backend.store, name, away, raising=False)
        answer = memory_client.get("/")
        assert answer.status_code == 503
        assert "store:// did not answer" in answer.text
        assert "kvbackends_up 0" in memory_client.get("/metrics").text

    def test_a_list_that_breaks_off(self, make_app, monkeypatch):
        """A driver's error in the middle of a list, which is not tried again, is told, too."""
        app = make_app(url="away://")

        def broken(*_):
            raise ConnectionError("reset by peer")

        monkeypatch.setattr(app.backend.store, "scan", broken, raising=False)
        with TestClient(app_for(app)) as client:
            answer = client.get("/")
        assert answer.status_code == 503
        assert "reset by peer" in answer.text

    def test_health(self, app, client):
        """Health shows what was tried, the store's address without secrets, and its speed."""
        ran(app, "echo", 1)
        page = client.get("/health").text
        assert "connection" in page
        assert "results a second" in page

    def test_metrics(self, app, client):
        """Prometheus gets the results by state, the chords and the store's latency."""
        ran(app, "fail")
        applied(app)
        answer = client.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        lines = answer.text.splitlines()
        assert 'kvbackends_results{state="FAILURE"} 1' in lines
        assert "kvbackends_chords_in_flight 1" in lines
        assert "kvbackends_up 1" in lines
        assert any(line.startswith("kvbackends_store_latency_seconds ") for line in lines)

    def test_mounted(self, memory_app):
        """Below another application every link stays below it."""
        from starlette.applications import Starlette
        from starlette.routing import Mount

        result = ran(memory_app, "echo", 1)
        around = Starlette(routes=[Mount("/ops/results", app_for(memory_app))])
        with TestClient(around) as client:
            page = client.get("/ops/results/").text
            links = re.findall(r'(?:href|src|action|data-live)="([^"]+)"', page)
            assert links
            assert all(link.startswith(("/ops/results/", "#")) for link in links)
            assert client.get(f"/ops/results/result?id={result.id}").status_code == 200
            assert client.get("/ops/results/static/kvbackends.js").status_code == 200


class TestTally:
    def test_constant_memory(self):
        """Counts of a year fit into few counters and few bars, and none is lost."""
        from kvbackends.admin import ResultInfo

        tally, begin = Tally(), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        for number in range(20_000):
            moment = begin + dt.timedelta(minutes=26 * number)
            tally.add(ResultInfo(str(number), "SUCCESS", f"t{number}", "", moment, 1))
        bars = tally.bars()
        assert len(tally._times) <= 4096
        assert len(tally.tasks) <= 500
        assert sum(bar.count for bar in bars) == 20_000
        assert 10 <= len(bars) <= 62
