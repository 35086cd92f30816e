"""Where the time goes: py-spy attached to our processes while a workload runs, summed up by function."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import Child, Stalled

_IMPORTING = "_find_and_load (<frozen importlib"
_FRAME = re.compile(r"^(?P<function>.*) \((?P<file>[^()]*?)(:\d+)?\)$")


@dataclass(frozen=True, slots=True)
class HotSpot:
    """A function's share of the samples: on top of the stack, and anywhere in it."""

    function: str
    self_percent: float
    total_percent: float


def hot_spots(stacks: str) -> list[HotSpot]:
    """Sum up py-spy's raw format (`frame;frame;... count` a line) by function, most own time first.

    Samples taken while a module was being imported are left out: they belong to the start, not to the work.
    """
    alone: Counter[str] = Counter()
    anywhere: Counter[str] = Counter()
    samples = 0
    for line in stacks.splitlines():
        trace, _, count_text = line.rpartition(" ")
        frames = [_function(frame) for frame in trace.split(";") if not frame.startswith("process ")]
        if _IMPORTING in trace or not frames:
            continue
        count = int(count_text)
        samples += count
        alone[frames[-1]] += count
        for frame in set(frames):
            anywhere[frame] += count
    found = [
        HotSpot(name, 100 * alone[name] / samples, 100 * count / samples) for name, count in anywhere.items()
    ]
    return sorted(found, key=lambda spot: (-spot.self_percent, -spot.total_percent, spot.function))


def _function(frame: str) -> str:
    match = _FRAME.match(frame)
    if match is None:
        return frame
    parts = Path(match["file"]).parts
    return f"{match['function']} ({'/'.join(parts[-3:])})"


@dataclass(slots=True)
class Profiler:
    """Attaches py-spy to running children and reports when they were watched long enough."""

    directory: Path
    seconds: int = 10
    top: int = 40
    _running: list[tuple[str, Path, subprocess.Popen[bytes]]] = field(default_factory=list)

    def attach(self, title: str, children: Sequence[Child]) -> None:
        """Start watching each child and its own children; raises Stalled when py-spy is not installed."""
        command = shutil.which("py-spy")
        if command is None:
            raise Stalled(
                "--profile needs py-spy; install it into this environment with `pip install py-spy`"
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        for child in children:
            out = self.directory / f"{title.replace(' ', '-')}-{child.name}.raw"
            argv = [command, "record", "--subprocesses", "--nonblocking", "--rate", "200", "--format", "raw"]
            argv += ["--duration", str(self.seconds), "--output", str(out), "--pid", str(child.process.pid)]
            watcher = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self._running.append((f"{title}: {child.name}", out, watcher))
        time.sleep(0.5)

    def report(self) -> str:
        """Wait for the watchers and return the hottest functions of each process."""
        lines = []
        for title, out, watcher in self._running:
            watcher.wait(self.seconds + 60)
            lines.append(f"--- {title}\n   self%  total%  function")
            spots = hot_spots(out.read_text()) if out.exists() else []
            by_total = sorted(spots, key=lambda spot: -spot.total_percent)[: self.top]
            lines += [_line(spot) for spot in spots[: self.top]]
            lines += ["   by total", *(_line(spot) for spot in by_total)]
        self._running.clear()
        return "\n".join(lines)


def _line(spot: HotSpot) -> str:
    return f"   {spot.self_percent:5.1f}  {spot.total_percent:6.1f}  {spot.function}"
