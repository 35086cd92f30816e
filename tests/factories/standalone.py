"""The standalone project as `make run` starts it: its own data, one worker, a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.factories.ports import free_port

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Standalone:
    """A running project: where it answers, and what it announced."""

    url: str
    announcement: str

    @property
    def password(self) -> str:
        """Password of the user `admin`."""
        return self._announced(r"user admin, password (\S+)")

    @property
    def api_key(self) -> str:
        """The first API key, of the role admin."""
        return self._announced(r"API key +(\S+)")

    def _announced(self, pattern: str) -> str:
        found = re.search(pattern, self.announcement)
        assert found is not None, self.announcement
        return found[1]


def environment(data: Path) -> dict[str, str]:
    """Return the environment of a project with its data in `data` and nothing of this process's own."""
    inherited = ("DATABASE_URL", "SECRET_KEY", "REDIS_URL")
    kept = {name: value for name, value in os.environ.items() if name not in inherited}
    mine = {"PORT": str(free_port()), "AUTOMATE_DATA_DIR": str(data), "AUTOMATE_WORKERS": "1"}
    return {**kept, **mine, "DJANGO_SETTINGS_MODULE": "config.settings.local", "PYTHONPATH": str(ROOT)}


@contextmanager
def running(environment: dict[str, str]) -> Iterator[Standalone]:
    """Run the project while the block does."""
    with subprocess.Popen(
        [sys.executable, "-m", "config.supervisor"],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as started:  # fmt: skip
        assert started.stdout is not None
        try:
            said = []
            for line in started.stdout:
                said.append(line)
                if line.startswith("Ctrl-C stops everything"):
                    break
            else:
                raise AssertionError("".join(said))
            # What it says from now on is read too: a full pipe would hold it up.
            threading.Thread(target=started.stdout.read, daemon=True).start()
            yield Standalone(f"http://127.0.0.1:{environment['PORT']}", "".join(said))
        finally:
            started.send_signal(signal.SIGTERM)
            started.wait(timeout=120)
