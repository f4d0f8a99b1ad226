"""The whole proof: every check of kvbackends.testing."""

from pathlib import Path

import pytest

from kvbackends.testing import StoreSuite


class TestDirectory(StoreSuite):
    """In a fresh directory for each check."""

    @pytest.fixture
    def store_url(self, tmp_path: Path) -> str:
        """Three slashes: `tmp_path` begins with the third."""
        return f"dir://{tmp_path}"
