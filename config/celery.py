"""The Celery application: tasks are doorbells, the outbox is the truth."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

from celery import Celery
from celery.signals import worker_process_init

from automate_core.telemetry import configure

app = Celery("automate", broker=os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379/0")
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=1000,
    broker_connection_retry_on_startup=True,
    # A doorbell nobody heard for a while has nothing to say: the next one is on its way.
    task_default_delivery_mode="transient",
    timezone="UTC",
    beat_schedule={
        "drain-outbox": {
            "task": "automate_core.tasks.drain_outbox",
            "schedule": 1.0,
            "options": {"expires": 5.0},
        },
        "duties": {
            "task": "automate_core.tasks.run_duties",
            "schedule": 1.0,
            "options": {"expires": 5.0},
        },
        "reap-outbox": {
            "task": "automate_core.tasks.reap_outbox",
            "schedule": 10.0,
            "options": {"expires": 30.0},
        },
    },
)
app.autodiscover_tasks()


def _turn_on_spans(**_: Any) -> None:
    configure("automate-celery")


worker_process_init.connect(_turn_on_spans)
