"""Measures: the runs of one figure, the raw runs they are paired with, and whether the target is met."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How a measure stands against its target."""

    PASS = "pass"
    AIM = "pass, aim met"
    FAIL = "FAIL"
    NONE = "-"


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure must reach: `bound`, and better still `aim`.

    With `of_raw` the bound is a share of the raw ceiling of the same run; otherwise it is in the
    measure's unit. `at_most` turns the comparison round: smaller is better.
    """

    bound: float
    aim: float | None = None
    of_raw: bool = False
    at_most: bool = False

    def verdict(self, value: float) -> Verdict:
        """Compare a value (a ratio when `of_raw`) with the bound and the aim."""
        if not self._reached(value, self.bound):
            return Verdict.FAIL
        return Verdict.AIM if self.aim is not None and self._reached(value, self.aim) else Verdict.PASS

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        aim = f" (aim {self.aim:g})" if self.aim is not None else ""
        return f"{sign} {self.bound:g}{' of raw' if self.of_raw else ''}{aim}"

    def _reached(self, value: float, limit: float) -> bool:
        return value <= limit if self.at_most else value >= limit


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure: a value for each run of ours, and of the raw ceiling run just before it."""

    name: str
    unit: str
    ours: Sequence[float]
    raw: Sequence[float] = ()
    target: Target | None = None
    load: Sequence[float] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """The median of our runs."""
        return statistics.median(self.ours)

    @property
    def raw_median(self) -> float | None:
        """The median of the raw runs, when there are any."""
        return statistics.median(self.raw) if self.raw else None

    @property
    def ratio(self) -> float | None:
        """The median over pairs of ours / raw: each run is compared with the raw run beside it."""
        if not self.raw:
            return None
        return statistics.median(ours / raw for ours, raw in zip(self.ours, self.raw, strict=True))

    @property
    def verdict(self) -> Verdict:
        """Whether the target is met; a measure without a target has no verdict."""
        if self.target is None:
            return Verdict.NONE
        value = self.ratio if self.target.of_raw else self.median
        return Verdict.NONE if value is None else self.target.verdict(value)

    def as_dict(self) -> dict[str, Any]:
        """Return the form written to the results file."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "runs": list(self.ours),
            "raw_median": self.raw_median,
            "raw_runs": list(self.raw),
            "ratio": self.ratio,
            "target": None if self.target is None else str(self.target),
            "verdict": str(self.verdict),
            "load_average": list(self.load),
            **self.extra,
        }


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: the smallest value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
