"""The report of a chaos run: a table to read and a file to keep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.chaos.stage import Outcome

WIDTH = 100


def line(outcome: Outcome) -> str:
    """Return the outcome as lines of text: verdict, figures and what went wrong."""
    verdict = "VIOLATED" if outcome.violations else "kept"
    figures = ", ".join(f"{name}: {_short(value)}" for name, value in outcome.figures.items())
    text = [f"{outcome.promise:<8} {verdict:<9} {outcome.seconds:6.1f} s  {outcome.claim}"]
    text += [f"{'':<28}{figures}"] if figures else []
    text += [f"{'':<28}! {violation[:600]}" for violation in outcome.violations[:10]]
    if len(outcome.violations) > 10:
        text.append(f"{'':<28}! and {len(outcome.violations) - 10} more")
    return "\n".join(text)


def write(path: Path, *, seed: int, quick: bool, lease: float, outcomes: Sequence[Outcome]) -> None:
    """Write the JSON report."""
    content = {
        "seed": seed, "quick": quick, "lease_seconds": lease,
        "verdict": "violated" if any(one.violations for one in outcomes) else "kept",
        "outcomes": [one.as_data() for one in outcomes],
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} {count}" for name, count in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)
