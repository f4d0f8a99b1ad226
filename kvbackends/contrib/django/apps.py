"""The Django application."""

from django.apps import AppConfig


class KVBackendsConfig(AppConfig):
    """Shows the result backend of Celery's application in Django's admin."""

    name = "kvbackends.contrib.django"
    label = "kvbackends"
    verbose_name = "Celery results"
