"""The storage contract, for every store that the core brings."""
