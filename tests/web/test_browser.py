"""The pages in a real browser: what its script does, and what a hostile result cannot do."""

from pathlib import Path

import pytest
from celery import chord, group
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from kvbackends.web import app_for
from tests.web.browser import browsing, eventually, serving, size
from tests.web.test_pages import applied, ran

ROOT = Path(__file__).parents[2]
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def driver():
    with browsing() as driver:
        yield driver


@pytest.fixture
def address(memory_app, driver, monkeypatch):
    """Pages of a memory store, with actions, which look for changes many times a second."""
    monkeypatch.setattr("kvbackends.web.live.PAUSE", 0.05)
    monkeypatch.setattr("kvbackends.web.views.ROWS", 20)
    size(driver, 1200, 800)
    with serving(app_for(memory_app, allow_actions=True)) as address:
        yield address
        driver.get("about:blank")  # closes its streams


def text(driver):
    """What a person sees of the page, which may be on its way to another one."""
    return driver.execute_script("return document.querySelector('main')?.innerText ?? ''")


def click(driver, selector):
    """Click an element as soon as it is there."""
    eventually(lambda: driver.find_elements(By.CSS_SELECTOR, selector))[0].click()


def complaints(driver):
    """What the console said of scripts and policies; answers of 404 are expected there."""
    return [each for each in driver.get_log("browser") if "404" not in each["message"]]


def test_a_list_shows_results_as_they_come(driver, memory_app, address):
    """A result appears without a reload; not while updates are paused."""
    driver.get(address)
    eventually(lambda: driver.find_element(By.ID, "said").text == "Live")
    first = ran(memory_app, "echo", 1)
    eventually(lambda: first.id in text(driver))
    click(driver, "#pause")
    eventually(lambda: driver.find_element(By.ID, "said").text == "Paused")
    second = ran(memory_app, "echo", 2)
    assert second.id not in text(driver)
    click(driver, "#pause")
    eventually(lambda: second.id in text(driver))


def test_an_update_keeps_the_focus(driver, memory_app, address):
    """A link that has the focus has it again after the list was replaced."""
    first = ran(memory_app, "echo", 1)
    driver.get(address)
    driver.execute_script("document.getElementById(arguments[0]).focus()", f"to-{first.id}")
    second = ran(memory_app, "echo", 2)
    eventually(lambda: second.id in text(driver))
    assert driver.switch_to.active_element.get_attribute("id") == f"to-{first.id}"


def test_progress_is_live(driver, memory_app, address):
    """The bar of a task moves while it works."""
    store = memory_app.backend.store_result
    store("import", {"current": 1, "total": 4, "message": "one"}, "PROGRESS")
    driver.get(f"{address}/result?id=import")
    store("import", {"current": 3, "total": 4, "message": "three"}, "PROGRESS")
    eventually(lambda: "3 of 4 three" in text(driver))
    assert driver.find_element(By.TAG_NAME, "progress").get_attribute("value") == "3"


def test_a_hostile_result_is_text(driver, memory_app, address):
    """Neither a page nor its live update runs or loads what stands in a result."""
    store = memory_app.backend.store_result
    store("hostile", HOSTILE, "SUCCESS")
    driver.get(f"{address}/result?id=hostile")
    eventually(lambda: driver.find_element(By.ID, "said").text == "Live")
    store(HOSTILE, [HOSTILE], HOSTILE)
    driver.get(address)
    eventually(lambda: "onerror" in text(driver))
    click(driver, "#rows a[href*=owned]")
    eventually(lambda: driver.current_url.startswith(f"{address}/result"))
    assert "onerror" in text(driver)
    assert driver.title == "Result · kvbackends"
    assert not driver.find_elements(By.CSS_SELECTOR, "main img, main script")
    assert complaints(driver) == []


def test_the_rest_of_a_list_is_appended(driver, memory_app, address):
    """Reaching the end of a list, by scrolling or by keyboard, appends the next results."""
    for number in range(50):
        memory_app.backend.store_result(f"task-{number}", number, "SUCCESS")
    driver.get(address)
    driver.find_element(By.ID, "more").send_keys(Keys.ENTER)
    rows = lambda: len(driver.find_elements(By.CSS_SELECTOR, "#rows tr"))  # noqa: E731
    eventually(lambda: rows() >= 40)
    driver.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    eventually(lambda: rows() == 50)
    assert not driver.find_elements(By.ID, "more")
    assert complaints(driver) == []


def test_a_result_is_forgotten_after_a_question(driver, memory_app, address):
    """A click asks, a second one forgets."""
    result = ran(memory_app, "echo", 1)
    driver.get(f"{address}/result?id={result.id}")
    click(driver, "#forget")
    eventually(lambda: "Forget the result?" in text(driver))
    assert result.result == 1
    click(driver, "form.confirm button")
    eventually(lambda: "The result was forgotten." in text(driver))
    assert memory_app.AsyncResult(result.id).state == "PENDING"


def test_a_chord_is_abandoned_after_a_question(driver, memory_app, address):
    """The page of a chord leads to its missing part, and can fail its body."""
    result = applied(memory_app)
    driver.get(f"{address}/chords")
    click(driver, "tbody .id")
    eventually(lambda: "Missing parts" in text(driver))
    click(driver, "#abandon")
    eventually(lambda: "Abandon the chord?" in text(driver))
    click(driver, "form.confirm button")
    eventually(lambda: "its body has failed" in text(driver))
    assert result.state == "FAILURE"


def test_pages_fit_and_keep_the_policy(driver, memory_app, address):
    """Every page fits a narrow window, has its landmarks, and breaks no rule of its own policy."""
    echo, add = memory_app.tasks["echo"], memory_app.tasks["add"]
    canvas = (echo.s(1) | group(add.s(n) for n in range(30))).apply_async()
    memory_app.bench.run_all()
    failed, waiting = ran(memory_app, "fail"), applied(memory_app)
    pages = ("", "progress", "chords", "health", "result", f"confirm/forget?id={failed.id}")
    ids = (canvas.parent.id, failed.id)
    size(driver, 360, 800, dark=True)
    for page in (*pages, f"chord?id={waiting.parent.id}", *(f"result?id={each}" for each in ids)):
        driver.get(f"{address}/{page}")
        width = driver.execute_script("return document.documentElement.scrollWidth")
        assert width <= 360, page
        assert len(driver.find_elements(By.TAG_NAME, "h1")) == 1
        assert complaints(driver) == []


def test_pages_are_used_by_keyboard(driver, memory_app, address):
    """The first key leads past the navigation; a box of the picture is a link with a name."""
    result = chord([memory_app.tasks["echo"].s(1)], app=memory_app)(memory_app.tasks["total"].s())
    memory_app.bench.run_all()
    header = result.parent.results[0].id
    driver.get(f"{address}/result?id={header}")
    body = driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    assert driver.switch_to.active_element.text == "To the content"
    names = [
        each.accessible_name for each in driver.find_elements(By.CSS_SELECTOR, "input, button")
    ]
    assert all(names)


@pytest.mark.slow
def test_a_hundred_thousand_results(driver, memory_app, address):
    """Of many results the newest are listed, all are counted, and one is found by its id."""
    encoded = memory_app.backend.encode({"status": "SUCCESS", "result": 1, "date_done": None})
    for number in range(100_000):
        memory_app.backend.set(memory_app.backend.get_key_for_task(f"many-{number}"), encoded)
    failed = ran(memory_app, "fail")
    driver.get(address)
    assert "100,001 results" in " ".join(text(driver).split())
    driver.get(f"{address}/?state=FAILURE")
    assert failed.id in text(driver)
    driver.get(f"{address}/result?id=many-77777")
    assert "SUCCESS" in text(driver)


def test_the_site_searches_in_files(driver, tmp_path):
    """Its search is a worker, which browsers refuse to a file: a script of the site stands in."""
    (tmp_path / "work.js").write_text(
        "addEventListener('message', event => postMessage(event.data * 2))"
    )
    page = tmp_path / "page.html"
    page.write_text(
        f"""<body><script src="{ROOT / "docs/assets/iframe-worker.js"}"></script><script>
        const worker = new Worker("work.js")
        worker.addEventListener("message", event => document.title = event.data)
        worker.postMessage(21)</script>"""
    )
    driver.get(page.as_uri())
    assert eventually(lambda: driver.title == "42")
    assert "assets/iframe-worker.js" in (ROOT / "mkdocs.yml").read_text()
