"""Work in forked children."""

from kvbackends.testing.forks import fork_in_c, in_child

__all__ = ["fork_in_c", "in_child"]
