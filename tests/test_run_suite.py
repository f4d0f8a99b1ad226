"""`tools/run_suite`: a failure beside other suites counts by its second run, which is alone."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "tools" / "run_suite"
BARE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": os.environ["PATH"]}
PYTEST = (sys.executable, "-m", "pytest", "-q", "--rootdir=.", "-c=empty.toml")

FAILS = "    assert False\n"
FAILS_ONCE = """
    from pathlib import Path
    seen = Path("seen")
    if not seen.exists():
        seen.touch()
        assert False
"""
CRASHES = "    import os; os._exit(3)\n"


@pytest.fixture
def suite(tmp_path):
    """Runs the tool on a file of tests with the given bodies; returns both statuses."""

    def run(*bodies):
        tests = (f"def test_{number}():\n{body}\n" for number, body in enumerate(bodies))
        (tmp_path / "test_file.py").write_text("\n".join(tests))
        (tmp_path / "empty.toml").touch()
        commands = ([TOOL, "name", *PYTEST, "test_file.py"], [TOOL, "--again"])
        call = partial(subprocess.run, cwd=tmp_path, env=BARE, check=False)
        return tuple(call(each).returncode for each in commands)

    return run


def test_a_suite_that_passes_is_not_run_again(suite):
    assert suite("    pass\n") == (0, 0)


def test_a_failure_that_does_not_come_again_is_forgiven(suite, capfd):
    assert suite(FAILS_ONCE, "    pass\n") == (0, 0)
    assert "name: again, alone" in capfd.readouterr().out


def test_a_failure_that_comes_again_fails(suite):
    assert suite(FAILS, FAILS_ONCE) == (0, 1)


@pytest.mark.parametrize("bodies", [[FAILS_ONCE, *[FAILS] * 5], [CRASHES]], ids=["many", "crash"])
def test_many_failures_and_a_crash_fail_at_once(suite, bodies):
    first, _ = suite(*bodies)
    assert first != 0
