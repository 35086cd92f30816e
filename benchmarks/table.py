"""The table a run of the benchmarks ends with."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measures import Measure

HEADER = ("measure", "unit", "ours", "min..max", "raw", "min..max", "ratio", "target", "load", "verdict")


def render(measures: Sequence[Measure]) -> str:
    """Lay the measures out as a Markdown table that also reads well in a terminal."""
    rows = [HEADER, *(_row(measure) for measure in measures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _row(measure: Measure) -> tuple[str, ...]:
    return (
        measure.name,
        measure.unit,
        figure(measure.median),
        _spread(measure.ours),
        "-" if measure.raw_median is None else figure(measure.raw_median),
        _spread(measure.raw),
        "-" if measure.ratio is None else f"{measure.ratio:.2f}",
        "-" if measure.target is None else str(measure.target),
        f"{max(measure.load):.1f}" if measure.load else "-",
        str(measure.verdict),
    )


def _spread(runs: Sequence[float]) -> str:
    return f"{figure(min(runs))}..{figure(max(runs))}" if runs else "-"


def figure(value: float) -> str:
    """Write a number with about three significant digits and no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
