"""Which Celery runs."""

import celery
import pytest

CELERY = tuple(int(part) for part in celery.__version__.split(".")[:2])

needs_57 = pytest.mark.skipif(CELERY < (5, 7), reason="Celery 5.6 does not have this")
