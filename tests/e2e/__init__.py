"""Real Celery workers, real brokers, a real store: whatever a deployment does to a chord."""
