"""Celery results in MongoDB."""
