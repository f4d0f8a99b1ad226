"""Celery's settings, from the environment, so that all processes of the job have the same.

``WORDCOUNT_FOLDER`` is the folder of the default store and broker, ``WORDCOUNT_URL`` another store,
``WORDCOUNT_BROKER`` another broker, ``WORDCOUNT_QUEUE`` the name of the queue.
"""

import os
from pathlib import Path

from examples.wordcount import broker

folder = Path(os.environ.get("WORDCOUNT_FOLDER", "wordcount-data")).absolute()

# An application needs only this line to use kvbackends.
result_backend = os.environ.get("WORDCOUNT_URL") or f"kv+sqlite:///{folder}/results.db"
result_expires = 3600

broker_url = os.environ.get("WORDCOUNT_BROKER") or "filesystem://"
broker_transport_options = broker.options(broker_url, folder)
broker_connection_retry_on_startup = True
task_default_queue = os.environ.get("WORDCOUNT_QUEUE", "wordcount")

# A message is acknowledged when its task has ended, and redelivered if its process is lost.
task_acks_late = True
task_reject_on_worker_lost = True
# Seconds for which a worker waits for a result of a lost process; Celery's default is 10.
worker_lost_wait = 1.0
# A worker reserves no more messages than it has processes.
worker_prefetch_multiplier = 1
# Stores the process id when a task starts, so that the demo knows which process to kill.
task_track_started = True
# The workers receive no commands, and need no queue for them.
worker_enable_remote_control = False
