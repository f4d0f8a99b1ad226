"""Two processes store other states of the same tasks at the same time."""

import pytest

from tests.e2e.deployment import Deployment, finish

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
def deployment(deploy) -> Deployment:
    return deploy("redis")


def test_a_success_is_never_lost(deployment, only_five):
    """A success is not replaced by STARTED, RETRY or FAILURE, whoever comes first."""
    scripts = [
        deployment.script(STORE, states, str(n), KVBACKENDS_E2E_ONLY_FIVE=only_five)
        for n, states in enumerate(["STARTED,SUCCESS", "STARTED,RETRY,FAILURE"])
    ]
    deployment.until(lambda: len(list(deployment.folder.glob("racing-*"))) == 2, "both are ready")
    (deployment.folder / "start").touch()
    assert [finish(each) for each in scripts] == ["stored", "stored"]
    assert [deployment.state(f"race-{n}") for n in range(TASKS)] == ["SUCCESS"] * TASKS
