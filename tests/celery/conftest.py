"""One Celery deployment for the tests of this package."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.celery.deployment import LEASE_SECONDS, Deployment, own_database
from tests.chaos.cluster import ROOT, Valkey
from tests.chaos.ledger import Ledger


@pytest.fixture(scope="package")
def deployment(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Deployment]:
    """Give a database, a broker and a ledger; no worker runs yet."""
    directory = tmp_path_factory.mktemp("celery")
    with django_db_blocker.unblock(), own_database() as database_url:
        valkey, ledger = Valkey(directory), Ledger()
        valkey.start()
        env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
            "DATABASE_URL": database_url,
            "REDIS_URL": valkey.url,
            "AUTOMATE_CELERY": "1",
            "AUTOMATE_DATA_DIR": str(directory),
            "AUTOMATE_HTTP_ALLOW": ledger.address,
            "AUTOMATE_LEASE_SECONDS": f"{LEASE_SECONDS:g}",
            "AUTOMATE_LOG_FORMAT": "json",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        made = Deployment(valkey, ledger, directory, env)
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="package")
def running(deployment: Deployment) -> Deployment:
    """Give the deployment with a worker of two processes, and beat."""
    deployment.start_worker()
    deployment.start_beat()
    return deployment


@pytest.fixture(autouse=True)
def _show_logs(deployment: Deployment) -> Iterator[None]:
    """Print the processes' logs; pytest shows them beside a failure."""
    deployment.ledger.reset()
    yield
    print(deployment.logs())
