"""Wheels in fresh environments, and an adapter from outside the project.

Packages have the versions of `requirements/dev.txt`, and come from uv's cache after the first run.
The wheels' own requirements decide which packages are installed.
"""

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.pages import texts
from tests.test_workspace import foreign, imported

ROOT = Path(__file__).parents[1]
OUTSIDER = ROOT / "examples" / "thirdparty-store"
PINS = ROOT / "requirements" / "dev.txt"

PYTEST = ("-m", "pytest", "-q", "-W", "error", "-p", "kvbackends.testing.plugin")

SOME = [f"--store-check={area}" for area in ("methods", "versions", "threads", "parts")]

pytestmark = pytest.mark.timeout(600)  # the first time, packages are fetched


def run(*command, cwd=ROOT):
    """Run a command and return its output; a failure shows all of it."""
    out, both = subprocess.PIPE, subprocess.STDOUT
    done = subprocess.run(command, cwd=cwd, text=True, stdout=out, stderr=both)
    assert done.returncode == 0, done.stdout
    return done.stdout


class Environment:
    """A virtual environment with the given requirements only."""

    def __init__(self, folder, *requirements):
        self.python = folder / "bin" / "python"
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        try:
            uv = ROOT / run(ROOT / "tools/find_uv", sys.executable).strip()
            run(uv, "pip", "install", "--python", self.python, "-c", PINS, *requirements)
        except AssertionError:  # the machine's package index is only configured for pip
            # Without hashes, because pip would demand them for the new wheels, too.
            pins = folder / "pins.txt"
            pins.write_text("".join(line + "\n" for line in pinned()))
            pip = (sys.executable, "-m", "pip", "--python", self.python)
            run(*pip, "install", "-c", pins, *requirements)

    def __call__(self, *arguments, cwd):
        return run(self.python, *arguments, cwd=cwd)

    def packages(self, cwd):
        """Return the name and version of each installed distribution."""
        script = """
            from importlib.metadata import distributions
            for each in distributions():
                print(f"{each.name}=={each.version}".lower().replace("_", "-"))
        """
        return set(self("-c", textwrap.dedent(script), cwd=cwd).split())


def pinned():
    """Return each requirement with version and marker, without hashes."""
    return re.findall(r"^[\w.-]+==[^\\\n]+", PINS.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The wheels of the core and of the outsider's adapter."""
    folder = tmp_path_factory.mktemp("wheels")
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
    for project in (ROOT, OUTSIDER):
        run(*build, project)
    [core] = folder.glob("kvbackends-*.whl")
    [adapter] = folder.glob("kvbackends_directory-*.whl")
    return core, adapter


@pytest.fixture(scope="module")
def alone(wheels, tmp_path_factory):
    """An environment with the core alone."""
    core, _ = wheels
    return Environment(tmp_path_factory.mktemp("alone"), core)


@pytest.fixture(scope="module")
def outside(wheels, tmp_path_factory):
    """An environment with the adapter and its requirements for tests."""
    core, adapter = wheels
    folder = tmp_path_factory.mktemp("outside")
    return Environment(folder, f"{core}[testing]", f"{adapter}[testing]")


def test_the_adapter_uses_public_names_only():
    modules = [each for each in OUTSIDER.rglob("*.py") if "build" not in each.parts]
    assert len(modules) == 2
    names = {name for module in modules for name in imported(module)}
    assert {"kvbackends", "kvbackends.testing"} <= names
    assert [name for name in names if foreign(name, own="kvdirectory")] == []


APPLICATION = """
    from celery import Celery

    app = Celery("tasks", broker="memory://", backend="kv+sqlite:///results.db")
    app.conf.task_store_eager_result = True

    @app.task
    def square(x):
        return x * x

    if __name__ == "__main__":
        task_id = square.apply([12]).id
        app.close()
        print(app.AsyncResult(task_id).get(timeout=10))
"""


def test_the_core_alone_stores_results(alone, tmp_path):
    (tmp_path / "tasks.py").write_text(textwrap.dedent(APPLICATION))
    assert alone("tasks.py", cwd=tmp_path) == "144\n"
    assert (tmp_path / "results.db").is_file()


def test_the_core_alone_installs_no_driver_and_no_test_tools(alone, tmp_path):
    names = {each.partition("==")[0] for each in alone.packages(tmp_path)}
    assert {"kvbackends", "celery", "msgspec", "pluggy"} <= names
    assert names.isdisjoint({"pytest", "hypothesis", "rich", "redis", "pymongo", "psycopg"})


def test_only_pinned_packages_are_installed(alone, outside, tmp_path):
    pins = {line.partition(" ")[0].strip().lower() for line in pinned()}
    ours = {"kvbackends", "kvbackends-directory"}
    for environment in (alone, outside):
        others = {e for e in environment.packages(tmp_path) if e.partition("==")[0] not in ours}
        assert others - pins == set()


def test_an_unknown_store_says_what_is_installed(alone, tmp_path):
    script = """
        from kvbackends import UnknownScheme, open_store
        try:
            open_store("dir:///results")
        except UnknownScheme as error:
            print(error)
    """
    said = alone("-c", textwrap.dedent(script), cwd=tmp_path)
    assert "no adapter for dir:// is installed" in said
    assert "sqlite" in said


def test_the_adapters_own_tests_pass(outside, tmp_path, pytestconfig):
    """The guide's store, which is like it, passes the whole quick suite in every run."""
    is_full = pytestconfig.getoption("kvbackends_full")
    shutil.copytree(OUTSIDER / "tests", tmp_path / "tests")
    said = outside(*PYTEST, "--store-quick", *([] if is_full else SOME), cwd=tmp_path)
    assert_proven(said, at_least=200 if is_full else 30)


def test_the_suite_runs_without_a_test_file(outside, tmp_path):
    url = f"dir://{tmp_path}/results?fsync=1"
    suite = (*PYTEST, "--pyargs", "kvbackends.testing", "--store-url", url, "--store-quick")
    assert_proven(outside(*suite, *SOME, cwd=tmp_path))
    assert any((tmp_path / "results").iterdir())


def assert_proven(said, at_least=30):
    [passed] = re.findall(r"(\d+) passed", said)
    assert int(passed) >= at_least, said
    assert "failed" not in said
    assert "xfailed" not in said


def test_a_task_stores_its_result_in_the_directory(outside, tmp_path):
    application = APPLICATION.replace("sqlite:///results.db", f"dir://{tmp_path}/results")
    (tmp_path / "tasks.py").write_text(textwrap.dedent(application))
    assert outside("tasks.py", cwd=tmp_path) == "144\n"
    assert any((tmp_path / "results").iterdir())


def test_its_page_shows_how_to_open_it(outside, tmp_path):
    (shown,) = texts("examples/thirdparty-store/README.md", "python")
    script = f"from celery import Celery\n{shown}\nprint(app.backend.as_uri())"
    assert outside("-c", script, cwd=tmp_path) == "kv+dir:///var/lib/results\n"


def test_rules_are_shown_without_the_documentation(outside, tmp_path):
    script = """
        from kvbackends.testing import checks
        print({check.rule_text.partition(" ")[0] for check in checks() if check.area == "ranks"})
    """
    assert outside("-c", textwrap.dedent(script), cwd=tmp_path) == "{'`rank_of(stored'}\n"
