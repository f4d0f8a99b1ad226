"""`help()` tells what each field of a public class is."""

import importlib
import inspect
import pydoc
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


def described():
    """Return each public class with fields, and the tool that writes `docs/api/`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        api = importlib.import_module("api")
    for package, _ in api.PACKAGES.values():
        module = importlib.import_module(package)
        for value in (getattr(module, name) for name in api.public(module)):
            if inspect.isclass(value) and (fields := api.fields_to_describe(value)):
                yield pytest.param(value, fields, id=value.__name__)


DESCRIBED = list(described())


@pytest.mark.parametrize(("value", "fields"), DESCRIBED)
def test_help_tells_each_field(value, fields):
    shown = pydoc.plain(pydoc.render_doc(value)).partition("Method resolution order")[0]
    assert "Attributes:" in shown
    assert [field for field in fields if f"      {field}: " not in shown] == []


def test_there_are_such_classes():
    names = {each.id for each in DESCRIBED}
    assert names > {"Arrival", "Barrier", "Control", "Entry", "Feature", "Limits", "Outcome"}
    assert names > {"Offer", "Part", "Rank", "ServerAddress", "Snapshot", "Store", "StoreURL"}
