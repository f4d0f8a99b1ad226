"""Runs every check of kvbackends.testing."""

from pathlib import Path

import pytest

from kvbackends.testing import StoreSuite


class TestDirectory(StoreSuite):
    """Each check has a new directory."""

    @pytest.fixture
    def store_url(self, tmp_path: Path) -> str:
        """Return a URL with three slashes; `tmp_path` starts with the third."""
        return f"dir://{tmp_path}"
