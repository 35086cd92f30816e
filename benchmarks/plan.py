"""The plan of a run: how much, where, and how to tell progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.database import Server
from benchmarks.profiling import Profiler


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to run, where, and how to tell progress."""

    server: Server
    directory: Path
    runs: int
    orders: int
    paced: int
    items: int
    loops: Sequence[int]
    waiting: int
    schedules: int
    timeout: float
    say: Callable[[str], None]
    profiler: Profiler | None = None
    loads: list[float] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        """Where the processes write their logs."""
        return self.directory / "logs"

    def note_load(self) -> None:
        """Remember the machine's load average of the last minute."""
        self.loads.append(os.getloadavg()[0])

    def watcher(self, run: int) -> Profiler | None:
        """Return the profiler in the last run, when there is one."""
        return self.profiler if run == self.runs - 1 else None
