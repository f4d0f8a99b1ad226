"""A map-reduce on Celery: the most used identifiers of Python's standard library.

``python -m examples.wordcount`` runs it.  Read it in this order: `text` (what is computed), `app`
(the tasks), `settings` (Celery's settings), `run` (the job, from the first message to the check of
its answer).
"""
