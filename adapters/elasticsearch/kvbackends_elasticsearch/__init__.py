"""Celery results in Elasticsearch."""
