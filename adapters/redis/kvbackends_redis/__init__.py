"""Celery results in Redis and Valkey."""
