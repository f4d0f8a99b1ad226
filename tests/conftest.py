"""Fixtures of all tests; the fixtures of servers are a plugin, `tests.servers.fixtures`."""

import hypothesis

# A slow example on a busy machine is no failure; pytest-timeout ends what hangs.
hypothesis.settings.register_profile("kvbackends", deadline=None, print_blob=True)
hypothesis.settings.load_profile("kvbackends")
