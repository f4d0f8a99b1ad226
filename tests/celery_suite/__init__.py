"""Celery's own integration suite, run against a result backend of ours (or of anybody's)."""
