"""Celery results in Apache Cassandra."""
