"""Celery's settings, from the environment: every process of the job has the same.

``WORDCOUNT_FOLDER`` is where the defaults keep their files, ``WORDCOUNT_URL`` another store for
results, ``WORDCOUNT_BROKER`` another broker, ``WORDCOUNT_QUEUE`` the queue's name.
"""

import os
from pathlib import Path

from examples.wordcount import broker

folder = Path(os.environ.get("WORDCOUNT_FOLDER", "wordcount-data")).absolute()

# This line is all that an application needs to use kvbackends.
result_backend = os.environ.get("WORDCOUNT_URL") or f"kv+sqlite:///{folder}/results.db"
result_expires = 3600

broker_url = os.environ.get("WORDCOUNT_BROKER") or "filesystem://"
broker_transport_options = broker.options(broker_url, folder)
broker_connection_retry_on_startup = True
task_default_queue = os.environ.get("WORDCOUNT_QUEUE", "wordcount")

# A message is acknowledged when its task has ended, and put back when its process is lost.
task_acks_late = True
task_reject_on_worker_lost = True
# Seconds that a worker waits for a last word of a lost process; Celery's default is 10.
worker_lost_wait = 1.0
# Nobody reserves more than he is working on.
worker_prefetch_multiplier = 1
# A record with the process's id when a task begins: so the demo knows whom it can kill.
task_track_started = True
# Nobody sends this worker commands, and it needs no queue for them.
worker_enable_remote_control = False
