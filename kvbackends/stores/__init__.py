"""The embedded stores: plugins like any other, found by entry point."""
