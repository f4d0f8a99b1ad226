"""What suites of several folders have in common."""

import pytest

from kvbackends.testing import StoreSuite


class FiveMethods(StoreSuite):
    """For a store with the five methods and nothing else: natively there is nothing to prove."""

    quick = True

    @pytest.fixture(params=["derived"])
    def mode(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)
