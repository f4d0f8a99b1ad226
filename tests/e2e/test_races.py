"""Two processes store other states of the same tasks at the same time."""

import pytest

from tests.e2e.site import Site, finish

TASKS = 1000

STORE = """
import os, random, time
from tests.e2e.app import app
backend, states = app.backend, sys.argv[1].split(",")
backend.get("nothing")
open("racing-" + sys.argv[2], "w").close()
while not os.path.exists("start"):
    time.sleep(0.001)
for n in range(1000):
    for state in states:
        error = state in ("RETRY", "FAILURE")
        backend.store_result(f"race-{n}", ValueError(state) if error else state, state)
print("stored")
"""


@pytest.fixture(params=["native", "five methods"])
def only_five(request) -> str:
    return "" if request.param == "native" else "1"


@pytest.fixture
def site(make_site) -> Site:
    return make_site("redis")


def test_a_success_is_never_lost(site, only_five):
    """A success is not replaced by STARTED, RETRY or FAILURE, whoever comes first."""
    scripts = [
        site.script(STORE, states, str(n), KVBACKENDS_E2E_ONLY_FIVE=only_five)
        for n, states in enumerate(["STARTED,SUCCESS", "STARTED,RETRY,FAILURE"])
    ]
    site.until(lambda: len(list(site.folder.glob("racing-*"))) == 2, "both are ready")
    (site.folder / "start").touch()
    assert [finish(each) for each in scripts] == ["stored", "stored"]
    assert [site.state(f"race-{n}") for n in range(TASKS)] == ["SUCCESS"] * TASKS
