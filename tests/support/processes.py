"""Work in forked children."""

from kvbackends.testing.tools import in_child

__all__ = ["in_child"]
