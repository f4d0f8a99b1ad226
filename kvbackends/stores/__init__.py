"""The embedded stores, which are plugins and found by their entry points."""
