"""The operators' side, on every store that lists."""
