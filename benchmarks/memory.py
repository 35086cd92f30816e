"""What a process has used, as the kernel counts it: memory and CPU time (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

_MEGABYTE_IN_KILOBYTES = 1024


def resident_mb(pid: int) -> float:
    """Return the memory a process holds now, in MiB."""
    return _status(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """Return the most memory a process held since `forget_peak` (or its start), in MiB."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Let the peak be what the process holds now; see proc(5), clear_refs."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time a process has used, in user and kernel mode together."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / _MEGABYTE_IN_KILOBYTES
    raise ProcessLookupError(f"process {pid} has no {field}: it has ended")
