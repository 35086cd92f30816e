"""Our side, started as a user would: migrate, one web process, one worker process, a workflow, a source."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import orders
from benchmarks.database import Server
from benchmarks.graphs import Graph
from benchmarks.processes import Child, accepts, child, free_port, run, wait_until
from benchmarks.stacks import SECRET, UVICORN, Queries, Stack

LOCAL = "config.settings.local"
WITH_APP = "benchmarks.settings"
APPLICATION = ("config.asgi:application",)
SOURCE = "bench"
OURS = Queries(
    "SELECT count(*) FROM automate_execution WHERE status = 'SUCCESS'",
    "SELECT (event.payload->>'i')::int, extract(epoch FROM execution.finished_at)::float8"
    " FROM automate_execution execution JOIN automate_event event ON event.id = execution.event_id"
    " WHERE (event.payload->>'i')::int >= %s",
)


class Installation:
    """A migrated database and the environment of the processes that use it."""

    def __init__(self, *, url: str, settings: str, directory: Path) -> None:
        self.url = url
        self.env = {
            key: value for key, value in os.environ.items() if key not in {"REDIS_URL", "AUTOMATE_WORKERS"}
        }
        self.env |= {
            "DJANGO_SETTINGS_MODULE": settings,
            "DATABASE_URL": url,
            "AUTOMATE_DATA_DIR": str(directory),
            "AUTOMATE_RATE_WEBHOOK": "10000000/minute",
            "SECRET_KEY": secrets.token_urlsafe(48),
        }
        self.manage("migrate", "--verbosity", "0", timeout=180)

    def manage(self, *words: str, timeout: float = 60) -> str:
        """Run a management command and return what it printed."""
        return run([sys.executable, "manage.py", *words], env=self.env, timeout=timeout)

    def client(self, *words: str, timeout: float) -> Any:
        """Run a command of `benchmarks.client` inside Django and return its JSON."""
        printed = run([sys.executable, "-m", "benchmarks.client", *words], env=self.env, timeout=timeout)
        return json.loads(printed.splitlines()[-1])

    def add_workflow(
        self, *, name: str, graph: Graph, event_type: str | None = None, source: str = SOURCE
    ) -> None:
        """Create an enabled workflow; it starts on events of `event_type` from a source, or by hand."""
        document: dict[str, Any] = {"name": name, "slug": name, "graph": graph, "trigger_type": "manual"}
        if event_type is not None:
            trigger = {"event_type": event_type, "source": source}
            document |= {"trigger_type": "webhook", "trigger_config": trigger}
        self.client("workflow", json.dumps(document), timeout=60)

    def web(
        self, port: int, logs: Path, application: Sequence[str] = APPLICATION
    ) -> contextlib.AbstractContextManager[Child]:
        """The web process, as the supervisor starts it."""
        argv = [sys.executable, "-m", "uvicorn", *application, "--port", str(port), *UVICORN]
        return child("ours-web", argv, env=self.env, logs=logs)

    def worker(self, logs: Path, kinds: Sequence[str] = ()) -> contextlib.AbstractContextManager[Child]:
        """One worker process."""
        argv = [sys.executable, "manage.py", "automate_worker", "--processes", "1"]
        return child(
            "ours-worker", [*argv, *(["--kinds", ",".join(kinds)] if kinds else [])], env=self.env, logs=logs
        )


class OurStack(Stack):
    """A stack of ours, with the installation it runs on."""

    def __init__(self, installation: Installation, *, port: int, children: Sequence[Child]) -> None:
        path = f"/api/automate/webhooks/{SOURCE}/"
        super().__init__(url=installation.url, port=port, path=path, children=children, queries=OURS)
        self.installation = installation


@contextlib.contextmanager
def installation(server: Server, directory: Path, *, settings: str) -> Iterator[Installation]:
    """Make a fresh database for the time of the block and migrate it."""
    name = f"bench_ours_{os.getpid()}"
    url = server.fresh(name)
    try:
        yield Installation(url=url, settings=settings, directory=directory)
    finally:
        server.drop(name)


@contextlib.contextmanager
def our_stack(
    server: Server,
    directory: Path,
    *,
    graph: Graph,
    settings: str = LOCAL,
    worker: bool = True,
    application: Sequence[str] = APPLICATION,
) -> Iterator[OurStack]:
    """Run our web and worker processes with one workflow that orders start."""
    logs, port = directory / "logs", free_port()
    with contextlib.ExitStack() as until_end:
        ours = until_end.enter_context(installation(server, directory, settings=settings))
        children = [until_end.enter_context(ours.web(port, logs, application))]
        wait_until(lambda: accepts(port), what="our web process listens", timeout=60, children=children)
        ours.client("source", SOURCE, SECRET, timeout=60)
        ours.add_workflow(name="orders", graph=graph, event_type=orders.EVENT_TYPE)
        if worker:
            children.append(until_end.enter_context(ours.worker(logs)))
        stack = OurStack(ours, port=port, children=children)
        until_end.callback(stack.close)
        yield stack
