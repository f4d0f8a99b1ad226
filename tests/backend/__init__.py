"""The Celery backend, in one process: every hook, on stores of several kinds."""
