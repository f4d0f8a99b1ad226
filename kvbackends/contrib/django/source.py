"""Finds Celery's application, whose result backend is shown."""

import functools

from celery import current_app
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from kvbackends.admin import Admin
from kvbackends.errors import ConfigurationError


@functools.cache
def source() -> Admin:
    """Return the operators' side of the application's result backend.

    Raises `ImproperlyConfigured` if the application or its result backend is not usable.
    """
    name = getattr(settings, "KVBACKENDS_CELERY_APP", None)
    try:
        return Admin(import_string(name.replace(":", ".")) if name else current_app)
    except (ConfigurationError, ImportError) as error:
        raise ImproperlyConfigured(
            f"{error}. KVBACKENDS_CELERY_APP names Celery's application, as in "
            '"project.celery:app"'
        ) from error
