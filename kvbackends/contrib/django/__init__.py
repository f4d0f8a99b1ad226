"""A read-only admin for results and chords in Django, without tables of its own.

Add ``kvbackends.contrib.django`` to ``INSTALLED_APPS``.  The pages show the result backend of
Celery's current application, or of the one that the setting ``KVBACKENDS_CELERY_APP`` names
(``"project.celery:app"``).
"""
