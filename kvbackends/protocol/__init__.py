"""Chords and waiting, pure over `kvbackends.store.Store`; nothing here knows Celery."""
