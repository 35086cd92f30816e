"""What `make run` is to run: read from the environment, and handed on through it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from config import embedded, environment


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, read from the environment."""

    data_dir: Path
    port: int
    workers: int
    database_url: str | None

    @classmethod
    def from_environment(cls) -> Plan:
        """Read the plan; raises ImproperlyConfigured naming the variable that is wrong."""
        root = Path(__file__).resolve().parents[1]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        port = environment.whole("PORT", 7878, least=1)
        if port > 65535:
            raise ImproperlyConfigured(f"PORT must be at most 65535, not {port}")
        return cls(
            data_dir=Path(environment.text("AUTOMATE_DATA_DIR", str(root / ".data"))).resolve(),
            port=port,
            workers=environment.whole("AUTOMATE_WORKERS", cores),
            database_url=environment.text("DATABASE_URL") or None,
        )

    @property
    def postgres_dir(self) -> Path:
        """Where the embedded server's data live."""
        return self.data_dir / "postgres"

    def apply(self) -> None:
        """Put into the environment what this process and its forks are to find there."""
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
        os.environ["AUTOMATE_DATA_DIR"] = str(self.data_dir)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self.data_dir / "metrics")
        if self.database_url is None:
            # Named, not only implied: a fork that finds the server gone waits for us to start it again.
            os.environ["DATABASE_URL"] = embedded.server_url(self.postgres_dir)
