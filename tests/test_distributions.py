"""The distributions: extras, entry points, contents, and that they work from their wheels."""

import shutil
import subprocess
import sys
import tarfile
import textwrap
import tomllib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import kvbackends
from kvbackends.contract import StoreURL
from kvbackends.contract.options import declared
from kvbackends.plugins.catalogue import EXTRAS
from kvbackends.plugins.registry import adapter_for
from tests.test_outsider import Environment

ROOT = Path(__file__).parents[1]
ADAPTERS = sorted(path.parent for path in ROOT.glob("adapters/*/pyproject.toml"))
NAMES = [folder.name for folder in ADAPTERS]


def project(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


def schemes(folder):
    return project(folder)["entry-points"]["kvbackends.stores"]


def test_there_is_an_extra_for_each_adapter():
    extras = project(ROOT)["optional-dependencies"]
    assert {name: [f"kvbackends-{name}"] for name in NAMES}.items() <= extras.items()


@pytest.mark.parametrize("folder", ADAPTERS, ids=NAMES)
def test_the_entry_points_are_the_adapters_schemes(folder):
    found = schemes(folder)
    assert {each for scheme in found for each in adapter_for(scheme).schemes} == set(found)
    assert {EXTRAS[scheme] for scheme in found} == {folder.name}


@pytest.mark.parametrize("folder", ADAPTERS, ids=NAMES)
def test_an_adapters_example_can_be_opened(folder):
    for scheme in schemes(folder):
        kvbackends.open_store(adapter_for(scheme).example).close()


@pytest.mark.parametrize("folder", ADAPTERS, ids=NAMES)
def test_a_printed_url_masks_the_secret_options(folder):
    adapter = adapter_for(next(iter(schemes(folder))))
    for each in declared(adapter.store.options_type):
        value = '{"password": "hunter2"}' if "dict" in str(each.type) else "hunter2"
        url = StoreURL.parse(f"{adapter.schemes[0]}://host?{each.name}={value}")
        assert not each.secret or "hunter2" not in str(url), each.name


def build(source, folder):
    """Build a source distribution, and a wheel from that."""
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source)
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def names_in(path):
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    with tarfile.open(path) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The source distributions and wheels of all."""
    folder = tmp_path_factory.mktemp("dist")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda source: build(source, folder), (ROOT, *ADAPTERS)))
    return folder


def test_all_have_the_version_of_the_core(dist):
    paths = list(dist.iterdir())
    assert {path.name.removesuffix(".tar.gz").split("-")[1] for path in paths} == {
        kvbackends.__version__
    }
    assert len(paths) == 2 * (len(ADAPTERS) + 1)
    for folder in ADAPTERS:
        assert f"kvbackends=={kvbackends.__version__}" in project(folder)["dependencies"]


def test_they_hold_the_package_its_licence_and_nothing_else(dist):
    for path in dist.iterdir():
        package = path.name.split("-")[0]
        names = names_in(path)
        assert f"{package}/py.typed" in names
        assert any(name.endswith("LICENSE") for name in names)
        beside = {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO", ".gitignore"}
        beside |= {"CHANGELOG.md", "docs/contract.md"} if package == "kvbackends" else set()
        strays = [
            name
            for name in names
            if not name.startswith((f"{package}/", f"{package}-")) and name not in beside
        ]
        assert not strays, path.name
        assert not [n for n in names if "__pycache__" in n or n.endswith(".pyc") or "/tests/" in n]


def test_a_second_build_has_the_same_bytes(dist, tmp_path):
    build(ADAPTERS[0], tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (dist / path.name).read_bytes()


def test_an_index_accepts_them(dist):
    command = (sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir())
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_each_adapter_has_the_licence():
    for folder in ADAPTERS:
        assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


APPLICATION = """
    import sys
    from celery import Celery

    app = Celery("tasks", broker="memory://", backend=sys.argv[1])
    app.conf.task_store_eager_result = True

    @app.task
    def square(x):
        return x * x

    task_id = square.apply([12]).id
    app.close()
    print(app.AsyncResult(task_id).get(timeout=10))
"""


@pytest.fixture(scope="module")
def environment(dist, tmp_path_factory):
    """An environment with the core, the adapter of Redis and what they need, from the wheels."""
    [core] = dist.glob("kvbackends-*.whl")
    folder = tmp_path_factory.mktemp("environment")
    return Environment(folder, f"--find-links={dist}", f"{core}[redis]")


@pytest.mark.timeout(600)
def test_an_extra_gives_a_working_backend(environment, tmp_path, redis_url):
    (tmp_path / "tasks.py").write_text(textwrap.dedent(APPLICATION))
    assert environment("tasks.py", f"kv+{redis_url}", cwd=tmp_path) == "144\n"


@pytest.mark.timeout(600)
def test_the_demo_runs_on_the_wheels(environment, tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    output = environment("-m", "examples.wordcount", "--files", "150", cwd=tmp_path)
    assert "demo: OK  files=150" in output
