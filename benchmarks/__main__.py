"""The command: `python -m benchmarks [WORKLOAD ...]` runs workloads, prints a table, writes a JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.database import NotDurable, Server
from benchmarks.load import Refused
from benchmarks.measures import Measure, Verdict
from benchmarks.plan import Plan
from benchmarks.processes import ROOT, Stalled
from benchmarks.profiling import Profiler
from benchmarks.table import render
from benchmarks.workloads import ALIASES, WORKLOADS


def arguments() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure the whole system beside a raw SQL engine on the same PostgreSQL server.",
    )
    parser.add_argument(
        "workloads", nargs="*", metavar="workload", help=f"some of: {', '.join(WORKLOADS)} (all)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short run of each: shows that everything works"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of each workload; the median counts (3)")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds a single run may take (120)")
    parser.add_argument(
        "--out", type=Path, help="directory of results, logs and data (bench/ in the data directory)"
    )
    parser.add_argument(
        "--postgres", metavar="URL", help="use this PostgreSQL server instead of the embedded one"
    )
    parser.add_argument(
        "--profile", action="store_true", help="attach py-spy to our processes in the last w1 runs"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a target is missed")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the chosen workloads, print the table, write the JSON; return the exit code."""
    parser = arguments()
    given = parser.parse_args(argv)
    chosen = list(dict.fromkeys(ALIASES.get(name, name) for name in given.workloads)) or list(WORKLOADS)
    if unknown := [name for name in chosen if name not in WORKLOADS]:
        parser.error(f"unknown workload {unknown[0]!r}; choose from {', '.join(WORKLOADS)}")
    signal.signal(signal.SIGTERM, _interrupt)
    directory = (given.out or Path(os.environ.get("AUTOMATE_DATA_DIR", ROOT / ".data")) / "bench").resolve()
    measures: list[Measure] = []
    failed = False
    try:
        server = Server.start(directory / "postgres", given.postgres)
        for name in chosen:
            _say(f"{name}: {(WORKLOADS[name].__doc__ or '').splitlines()[0]}")
            try:
                measures += WORKLOADS[name](_plan(given, server, directory))
            except (Stalled, Refused) as error:
                failed = True
                _say(f"{name} FAILED: {error}")
    except NotDurable as error:
        _say(f"not measured: {error}")
        return 2
    except KeyboardInterrupt:
        _say("interrupted; everything is stopped")
        return 130
    if measures:
        print("\n" + render(measures))
        print(f"\nwritten to {_write(directory, server, measures)}")
    missed = any(measure.verdict is Verdict.FAIL for measure in measures)
    return 2 if failed else int(given.strict and missed)


def _plan(given: argparse.Namespace, server: Server, directory: Path) -> Plan:
    return Plan(
        server=server,
        directory=directory,
        runs=1 if given.quick else given.runs,
        orders=500 if given.quick else 3000,
        paced=30 if given.quick else 100,
        items=2000 if given.quick else 20_000,
        loops=(100,) if given.quick else (1_000, 10_000),
        waiting=300 if given.quick else 10_000,
        schedules=40 if given.quick else 1_000,
        timeout=given.timeout,
        say=_say,
        profiler=Profiler(directory / "profiles") if given.profile else None,
    )


def _write(directory: Path, server: Server, measures: Sequence[Measure]) -> Path:
    now = datetime.now(UTC)
    path = directory / f"results-{now:%Y%m%dT%H%M%SZ}.json"
    document = {
        "at": now.isoformat(),
        "machine": {
            "cpus": os.cpu_count(),
            "platform": platform.platform(),
            "python": platform.python_version(),
        },
        "postgres": server.facts(),
        "measures": [measure.as_dict() for measure in measures],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
