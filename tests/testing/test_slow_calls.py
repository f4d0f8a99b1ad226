"""The suite on a store a network away: right, and in time, whatever a call takes."""

import time

import pytest

from kvbackends.testing import run

PLUGIN = """
from kvbackends.contract import Adapter, hookimpl
from kvbackends.stores.memory import MemoryStore
from kvbackends.testing import Latency


class SlowMemory(MemoryStore):
    @classmethod
    def from_url(cls, url, options):
        return Latency(super().from_url(url, options), float(url.path))


@hookimpl
def kvbackends_adapters():
    yield Adapter(schemes=("slow",), store=SlowMemory, summary="far away", example="slow://x")
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    (tmp_path / "slowly.py").write_text(PLUGIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return "slowly"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_whole(plugin):
    """Each call takes five milliseconds: the whole suite passes, in two minutes."""
    began = time.monotonic()
    report = run(["slow://there/0.005"], plugins=[plugin])
    assert (report.exit_code, report.failing_checks) == (0, []), report.problem
    assert time.monotonic() - began < 150  # on a busy machine


@pytest.mark.slow
def test_very_slow(plugin):
    """Each call takes a tenth of a second: times to live are as long as they have to be."""
    checks = ["ttl.touch", "ttl.gone_from_every_read", "ranks.ttl_of_the_last_stored"]
    report = run(["slow://there/0.1"], checks=checks, plugins=[plugin])
    assert (report.exit_code, report.failing_checks) == (0, []), report.failed
