"""Each fenced block of each page is run by a test, or it is said here why it is not."""

import fnmatch
import re

import pytest

from tests.support.pages import ROOT, blocks
from tests.test_workspace import PAGES, relative

GENERATED = ("docs/api/*", "benchmarks/results/*")
"""Pages whose blocks are signatures."""
GUIDE = "tests/test_guide.py::test_the_guide_can_be_followed"
SNIPPETS = "tests/test_snippets.py"

BLOCKS = {
    "README.md python": "tests/test_pages.py::test_the_first_application_works",
    "adapters/*/README.md python": f"{SNIPPETS}::test_the_settings_open_the_store",
    "adapters/postgresql/README.md sql": (
        "adapters/postgresql/tests/test_postgresql.py::test_results_are_rows_for_sql"
    ),
    "docs/*.md yaml": f"{SNIPPETS}::test_the_command_runs",
    "docs/django.md python": "tests/contrib/test_django.py::test_the_pages",
    "docs/guides/*.md python": "tests/test_guides.py::test_the_page_is_correct",
    "docs/guides/airflow.md ini": (
        "tests/test_guides.py::test_the_setting_of_airflow_opens_the_store"
    ),
    "docs/moving-in.md python": "tests/test_moving_in.py::test_the_settings_are_accepted",
    "docs/operating.md python": "tests/admin/test_operating.py::test_python",
    "docs/results.md python": "tests/test_guides.py::test_changes_are_followed",
    "docs/store-behind-a-network.md python": "tools/quoted.py::quoted",
    "docs/web.md python": f"{SNIPPETS}::test_the_pages_can_be_mounted",
    "docs/write-an-adapter.md console": GUIDE,
    "docs/write-an-adapter.md py": "not run: the suite of a server that is not there",
    "docs/write-an-adapter.md python": GUIDE,
    "docs/write-an-adapter.md toml": GUIDE,
    "examples/*/README.md python": "tests/test_outsider.py::test_its_page_shows_how_to_open_it",
    "docs/architecture.md text": "not run: a diagram",
}
"""Page and language -> the test that runs the block."""

COMMANDS = {
    "kvbackends (?!web |conformance )|export CELERY_APP=": f"{SNIPPETS}::test_the_command_runs",
    "kvbackends web ": "not run: it serves until Ctrl-C; test_snippets.py parses the words",
    "kvbackends conformance ": "not run: it takes minutes; test_snippets.py parses the words",
    "pip install ": f"{SNIPPETS}::test_what_pip_installs_is_there",
    "make ": f"{SNIPPETS}::test_make_has_the_targets",
    "mkdir -p queue control|celery -A tasks worker|python tasks.py": (
        "tests/test_pages.py::test_the_two_minute_start_can_be_followed"
    ),
    "python -m kvbackends_postgresql --user": (
        "adapters/postgresql/tests/test_postgresql.py::test_an_administrator_makes_the_tables"
    ),
    "python -m kvbackends_postgresql --upgrade": (
        "adapters/postgresql/tests/test_versions.py::test_the_command_upgrades"
    ),
    "pytest": "tests/test_outsider.py::test_the_adapters_own_tests_pass",
    "cat /etc/kvbackends/web": "not run: it shows a file",
    "docker compose ": "not run: it needs Docker; test_guides.py checks the file",
    "celery -A proj flower": "not run: Flower is no requirement; the page says how it was tried",
}
"""How the commands of other blocks begin -> the test that runs them."""


def shown():
    """Return each block, or each of its commands if it is not in `BLOCKS`, with its entries."""
    for page in map(relative, PAGES):
        if any(fnmatch.fnmatch(page, each) for each in GENERATED):
            continue
        for block in blocks(page):
            name = f"{page} {block.language}"
            entries = [each for each in BLOCKS if fnmatch.fnmatch(name, each)]
            if entries:
                yield name, entries
            else:
                for line in commands(block.text):
                    yield f"{name}: {line}", [each for each in COMMANDS if re.match(each, line)]


def commands(text):
    """Return the lines behind a prompt; without any prompt all lines."""
    prompted = re.findall(r"^\$ (.+)", text, re.MULTILINE)
    return prompted or text.split("\n")[:-1]


FOUND = list(shown())


def test_each_block_is_run_or_excused():
    assert len(FOUND) > 100
    assert [name for name, entries in FOUND if not entries] == []


def test_no_entry_is_left_over():
    used = {entry for _, entries in FOUND for entry in entries}
    assert {*BLOCKS, *COMMANDS} - used == set()


@pytest.mark.parametrize("test", sorted({*BLOCKS.values(), *COMMANDS.values()}))
def test_the_entry_names_a_test_or_gives_a_reason(test):
    if not test.startswith("not run: "):
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text()
