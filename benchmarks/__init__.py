"""Side by side with Celery's own backends on the same disk: ``python -m benchmarks``.

`docs/performance.md` tells how it is measured and what the figures mean.
"""
