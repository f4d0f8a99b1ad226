"""`docs/settings.md` has every setting for results, of Celery's and of each adapter's."""

import re
from pathlib import Path

import pytest
from celery import Celery
from celery.app.defaults import NAMESPACES, flatten

from kvbackends.contract.options import CoreOptions, declared
from kvbackends.plugins.registry import adapter_for, installed

PAGE = (Path(__file__).parents[1] / "docs" / "settings.md").read_text()
SHOWN = set(re.findall(r"`((?:[a-z]+_)+[a-z]+)`", PAGE))
SPACES = ("result", "redis", "mongodb", "cassandra", "elasticsearch", "cache", "database")
CELERYS = {name for name, _ in flatten(NAMESPACES) if name.split("_")[0] in SPACES}


def test_celerys_settings_are_shown():
    assert len(CELERYS) > 40
    assert set() == CELERYS - SHOWN


@pytest.mark.parametrize("scheme", installed())
def test_the_settings_of_an_adapter_are_shown(scheme):
    options = [*declared(adapter_for(scheme).store.options_type), *declared(CoreOptions)]
    assert {each.setting for each in options if each.setting} - SHOWN == set()


@pytest.mark.parametrize("scheme", [*SPACES[1:5], "sentinel", "memcached", "postgresql"])
def test_celery_masks_the_secrets_of_an_adapter(scheme):
    """By their names, within other settings as well.  Of `bearer_auth` the user is warned.

    A credential provider is an object or the name of its class.
    """
    secret = [each for each in declared(adapter_for(scheme).store.options_type) if each.secret]
    options = {
        each.name: {"password": "hunter2"} if "dict" in str(each.type) else "hunter2"
        for each in secret
        if each.name not in {"bearer_auth", "credential_provider"}
    }
    app = Celery("report", set_as_current=False, broker="memory://", backend=f"kv+{scheme}://")
    app.conf.result_backend_transport_options = options
    assert "hunter2" not in app.bugreport()
