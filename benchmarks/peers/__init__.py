"""The result stores of other task queues beside ours, on one Redis: ``--peers``.

Runs in an environment of its own, `.venv-peers`.
"""
