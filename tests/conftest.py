"""What all tests share; the fixtures of servers are in `tests.servers.fixtures`."""

import hypothesis

from tests.servers.fixtures import *  # noqa: F403

# A slow example on a busy machine is no failure; pytest-timeout ends what hangs.
hypothesis.settings.register_profile("kvbackends", deadline=None, print_blob=True)
hypothesis.settings.load_profile("kvbackends")
