"""A Celery application whose results are encrypted."""

import os

from celery import Celery

import kvbackends
from examples.encryption import plugin

kvbackends.register(plugin)

app = Celery("encryption")
app.conf.result_backend = os.environ.get("RESULT_URL", "kv+sqlite:///encrypted.db")
app.conf.broker_url = os.environ.get("BROKER_URL", "redis://")


@app.task
def diagnose(patient: str) -> dict[str, str]:
    """Return a confidential result."""
    return {"patient": patient, "finding": "a secret admirer"}


@app.task
def report(findings: list[dict[str, str]]) -> str:
    """Summarize the results of a chord's header tasks."""
    return "; ".join(f"{each['patient']}: {each['finding']}" for each in findings)
