"""The checks, by area.  A method of an `Area` is a check; its docstring is what it establishes."""
