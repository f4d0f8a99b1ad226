"""Opens the tests that Celery gates on a backend URL that starts with `redis`.

About a hundred tests look at nothing but the first letters of the URL before they skip themselves.
Few of them need Redis as the result backend; what they need is the side channel, which is there.
So the run gets a distribution of its own with one entry point, `rediskv`, which is our backend
under a name that the gate lets through. It is written into the run's temporary folder, is seen
through `PYTHONPATH` by that run alone, and so can be neither shipped nor left behind.
"""

from pathlib import Path

_METADATA = "Metadata-Version: 2.1\nName: celery-suite-gate\nVersion: 0\n"
_ENTRY_POINTS = "[celery.result_backends]\nrediskv = kvbackends.backend:open_backend\n"


def opens(url: str) -> bool:
    """Whether the gate can be opened for this URL: it is one of ours."""
    return url.startswith("kv+")


def open_gate(url: str, folder: Path) -> str:
    """Write the distribution into `folder`; the URL to use instead of `url`."""
    info = folder / "celery_suite_gate-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(_METADATA)
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    return "redis" + url
