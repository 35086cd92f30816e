"""The Celery application: tasks are doorbells, the outbox is the truth."""

from __future__ import annotations

import logging
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

from celery import Celery
from celery.signals import setup_logging, worker_process_init

from automate_core.telemetry import configure

CHATTY_LOGGERS = ("celery.worker.strategy", "celery.worker.request", "celery.app.trace", "celery.beat")

app = Celery("automate", broker=os.environ.get("REDIS_URL") or "redis://127.0.0.1:6379/0")
app.conf.update(
    timezone="UTC",
    # A queue of our own: the broker may serve other applications, too.
    task_default_queue="automate",
    # A doorbell nobody heard for a while has nothing to say: the next one is on its way.
    task_default_delivery_mode="transient",
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_max_tasks_per_child=1000,
    broker_connection_retry_on_startup=True,
    # However long the broker is away, somebody waits for it.
    broker_connection_max_retries=None,
    broker_transport_options={
        # Much longer than a drain claims: a second delivery does no harm, but no good either.
        "visibility_timeout": 600,
        "socket_connect_timeout": 2,
        "socket_timeout": 10,
        "socket_keepalive": True,
        "max_retries": 1,
        "interval_start": 0.2,
    },
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
            "schedule": 5.0,
            "options": {"expires": 15.0},
        },
    },
)
app.autodiscover_tasks()


def _keep_our_logging(**_: Any) -> None:
    """Leave Django's LOGGING in place, which redacts; Celery would put its own handlers there."""
    for name in CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


def _turn_on_spans(**_: Any) -> None:
    configure("automate-celery")


setup_logging.connect(_keep_our_logging)
worker_process_init.connect(_turn_on_spans)
