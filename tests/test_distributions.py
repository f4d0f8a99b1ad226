"""The adapters' distributions: their extras, entry points and wheels."""

import subprocess
import sys
import textwrap
import tomllib
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


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
    for source in (ROOT, *ADAPTERS):
        subprocess.run([*build, source], cwd=ROOT, check=True, capture_output=True)
    return folder


def test_all_wheels_have_the_version_of_the_core(wheels):
    versions = {wheel.name.split("-")[1] for wheel in wheels.iterdir()}
    assert versions == {kvbackends.__version__}
    assert len(list(wheels.iterdir())) == len(ADAPTERS) + 1


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


@pytest.mark.timeout(300)
def test_an_extra_gives_a_working_backend(wheels, tmp_path, redis_url):
    [core] = wheels.glob("kvbackends-*.whl")
    place = f"--find-links={wheels}"
    environment = Environment(tmp_path / "environment", place, f"{core}[redis]")
    (tmp_path / "tasks.py").write_text(textwrap.dedent(APPLICATION))
    assert environment("tasks.py", f"kv+{redis_url}", cwd=tmp_path) == "144\n"
