"""Models without tables: Django's admin and its permissions know pages by their models."""

from django.db import models


class Result(models.Model):
    """A stored result.  Its permission is ``kvbackends.view_result``."""

    class Meta:
        managed = False
        default_permissions = ("view",)


class Chord(models.Model):
    """A chord in flight.  Its permission is ``kvbackends.view_chord``."""

    class Meta:
        managed = False
        default_permissions = ("view",)
