"""`kvbackends conformance --bench`: what each operation of a store costs."""

import subprocess
import sys

import pytest

from kvbackends import register
from kvbackends.testing import bench
from tests.broken_stores import registry, url


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    """The costs of a store behind a socket, by operation and mode."""
    register(registry)
    place = url("reference-network", tmp_path_factory.mktemp("costs"))
    return {(each.operation, each.mode): each for each in bench.costs(place)}


@pytest.mark.parametrize(
    ("operation", "native", "derived"),
    [("get", 1, 1), ("get_batch", 1, 2), ("offer", 1, 1), ("offer over", 3, 3), ("arrive", 5, 5)],
)
def test_round_trips_are_counted(costs, operation, native, derived):
    """On the wire, by a proxy."""
    assert costs[operation, "native"].trips == native
    assert costs[operation, "derived"].trips == derived
    assert costs[operation, "native"].seconds > 0


def test_the_command_shows_a_table():
    """For each operation; no check runs."""
    command = [sys.executable, "-m", "kvbackends.cli", "conformance", "--bench", "memory://x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    names = [line.split("  ")[0].strip() for line in done.stdout.splitlines()]
    assert set(bench.OPERATIONS) <= set(names)
