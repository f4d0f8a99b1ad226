"""Benchmarks beside Celery's own backends on the same disk: ``python -m benchmarks``.

`docs/performance.md` explains the measurements and their figures.
"""
