"""The settings in `docs/moving-in.md` are accepted, and mean what the page says."""

import re
import textwrap

import pytest
from celery import Celery

from tests.support.pages import texts

BLOCKS = texts("docs/moving-in.md", "python")


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_settings_are_accepted(block, tmp_path):
    """Chords are begun where the block says, and the old place is the one that it names."""
    app = Celery(set_as_current=False, backend=f"kv+sqlite:///{tmp_path}/results.db")
    exec(textwrap.dedent(block).replace("/var/lib/app", str(tmp_path)), {"app": app})
    fallback = re.search(r"fallback(?:=|\": \")(\w+)", block)
    backend = app.backend
    try:
        assert backend.books.opens is ("chords=celery" in block)
        assert (backend.fallback is not None) is (fallback is not None)
        if fallback:
            assert str(backend.fallback._place).startswith(fallback[1])
    finally:
        backend.store.close()
        app.close()


def test_there_are_blocks():
    assert len(BLOCKS) >= 8
