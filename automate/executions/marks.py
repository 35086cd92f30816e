"""Marks: what became of a step or an execution, in order, each with its number among all that happened to the run.

A row's `marks` is text such as `s4w5c9`: the step began, waited and completed, as the 4th, 5th and 9th thing that
happened to its execution. Every number of an execution belongs to exactly one mark, so whoever counts them knows
whether something is missing, and the same messages can be told again from the rows alone.
"""

from __future__ import annotations

import re

from automate.enums import StepStatus

STARTED, WAITING, COMPLETED, FAILED, CANCELLED, SKIPPED = "s", "w", "c", "f", "x", "k"

LETTERS: dict[str, str] = {
    StepStatus.RUNNING.value: STARTED,
    StepStatus.WAITING.value: WAITING,
    StepStatus.SUCCESS.value: COMPLETED,
    StepStatus.FAILED.value: FAILED,
    StepStatus.CANCELLED.value: CANCELLED,
    StepStatus.SKIPPED.value: SKIPPED,
}
"""The mark of each status; those of an execution are among them, QUEUED has none."""

_STATUSES = {letter: status for status, letter in LETTERS.items()}
_MARK = re.compile(r"([a-z])(\d+)")


def read(marks: str) -> list[tuple[int, str]]:
    """Return (number, letter) of each mark, in order; a mark written twice counts once."""
    return sorted({(int(number), letter) for letter, number in _MARK.findall(marks)})


def last_status(marks: str) -> str:
    """Return the status the last mark tells of; empty when there is none."""
    found = read(marks)
    return _STATUSES[found[-1][1]] if found else ""
