"""Celery results in memcached."""
