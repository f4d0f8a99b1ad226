"""A suite for each ``--store-url``: what ``pytest --pyargs kvbackends.testing`` collects."""

import pytest

from kvbackends import open_store
from kvbackends.testing.plugin import urls
from kvbackends.testing.suite import StoreSuite, suite_for


def suites() -> dict[str, type[StoreSuite]]:
    """A class for each URL, named after its scheme."""
    made: dict[str, type[StoreSuite]] = {}
    for index, url in enumerate(urls()):
        open_store(url).close()  # so that a wrong URL is one error, not one of each check
        suite = suite_for(url, store_index=index)
        name = suite.__name__ if suite.__name__ not in made else f"{suite.__name__}{index + 1}"
        suite.__name__ = suite.__qualname__ = name
        suite.__module__ = __name__
        made[name] = suite
    return made


globals().update(suites())

if not urls():
    pytest.fail("no store: give -p kvbackends.testing.plugin --store-url URL", pytrace=False)
