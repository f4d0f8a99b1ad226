"""Chords and waiting, pure over `kvbackends.contract.store.Store`; nothing here knows Celery."""
