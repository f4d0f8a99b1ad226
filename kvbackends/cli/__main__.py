"""``python -m kvbackends.cli``."""

from kvbackends.cli import main

main()
