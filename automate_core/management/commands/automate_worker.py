"""Drain the outbox: run workflows until told to stop."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from typing import Any

from django.core.management.base import CommandError, CommandParser

from automate_core.management.base import AutomateCommand
from automate_core.outbox.handlers import handler_registry
from automate_core.outbox.worker import Worker
from automate_core.telemetry import configure


class Command(AutomateCommand):
    """Run worker processes."""

    help = "Drain the outbox: run workflows until SIGINT or SIGTERM, finishing what is in flight."
    examples = """\
  automate_worker                          one worker, in this process
  automate_worker --processes 4            four, started again when one dies
  automate_worker --kinds event,execution  nothing else"""
    is_one_piece = False
    exit_codes = "exit codes: 0 stopped as asked; 1 could not start; 2 wrong usage"

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--processes", type=int, default=1, help="worker processes to keep running (default 1)"
        )
        parser.add_argument(
            "--kinds", default="", help="comma-separated outbox kinds to drain (default: all registered)"
        )

    def handle(self, *args: Any, processes: int, kinds: str, **options: Any) -> None:
        """Run one worker here, or keep several child processes running."""
        wanted = [kind.strip() for kind in kinds.split(",") if kind.strip()] or None
        for kind in wanted or ():
            if kind not in handler_registry:
                raise CommandError(
                    f"Unknown kind {kind!r}; registered: {', '.join(handler_registry)}", returncode=2
                )
        if processes < 1:
            raise CommandError("--processes must be at least 1", returncode=2)
        if processes == 1:
            configure("automate-worker")
            worker = Worker(kinds=wanted)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: worker.stop())
            # What exists now stays: collections need not look at it again and again.
            gc.collect()
            gc.freeze()
            worker.run()
        else:
            self._keep_running(processes, kinds)

    def _keep_running(self, processes: int, kinds: str) -> None:
        command = [sys.executable, "-m", "django", "automate_worker", *(["--kinds", kinds] if kinds else [])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        children = [subprocess.Popen(command, env=environment) for _ in range(processes)]  # noqa: S603 - our own
        stopping = False

        def stop(*_: Any) -> None:
            nonlocal stopping
            stopping = True
            for child in children:
                child.terminate()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        while not stopping:
            for place, child in enumerate(children):
                if child.poll() is not None and not stopping:
                    self.stderr.write(f"Worker {child.pid} ended with {child.returncode}; starting another")
                    children[place] = subprocess.Popen(command, env=environment)  # noqa: S603 - our own
            time.sleep(0.5)
        for child in children:
            child.wait()
