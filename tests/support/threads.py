"""Works that begin at the same time."""

from kvbackends.testing.tools import together

__all__ = ["together"]
