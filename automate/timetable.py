"""A schedule as a trigger has it: from when to when, how its fires are spread, and what becomes of missed ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from automate.cron import EPOCH, InvalidSchedule, Schedule
from automate_core.errors import Problem

JITTER_LIMIT_SECONDS = 86_400
"""Longest spread of a fire: a day."""
MISSED_LIMIT = 1_000
"""Most missed fires that are made up for at once."""
DEFAULT_MISSED = 100
LATE = timedelta(seconds=60)
"""A fire looked at later than this was missed; workers look every second."""

_MILLISECOND = timedelta(milliseconds=1)
_INSTANT = timedelta(microseconds=1)


class Missed(StrEnum):
    """What becomes of fires nobody looked at in time: none, the latest, or all of them (up to a limit)."""

    SKIP = "skip"
    ONE = "one"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Fire:
    """A fire: `at` is the time the schedule names and what makes it unique, `due` is when it happens."""

    at: datetime
    due: datetime


@dataclass(frozen=True, slots=True)
class Timetable:
    """When one trigger fires. Two of the same configuration and seed agree on every fire."""

    schedule: Schedule
    seed: str
    jitter: timedelta = timedelta()
    missed: Missed = Missed.ONE
    missed_limit: int = DEFAULT_MISSED
    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def parse(cls, config: Mapping[str, Any], *, seed: str) -> Timetable:
        """Return what a schedule trigger's configuration describes; raise InvalidSchedule naming every problem.

        Args:
            config: `cron` and `timezone`, or `interval_seconds` (see `Schedule.parse`) and `anchor`, and
                `jitter_seconds` (0 to JITTER_LIMIT_SECONDS), `missed` (skip, one or all), `missed_limit` (most
                fires made up for under `all`, 1 to MISSED_LIMIT), `start_at` and `end_at` (both may still fire).
                Moments are ISO 8601 with an offset. Other keys are not looked at.
            seed: what sets this trigger's spread apart from that of others: its id.
        """
        problems: list[Problem] = []
        schedule = None
        anchor = _moment(config, "anchor", problems)
        if anchor is not None and config.get("interval_seconds") is None:
            problems.append(Problem("anchor", "is of use beside interval_seconds only; leave it out"))
        try:
            schedule = Schedule.parse(config, anchor=anchor or EPOCH)
        except InvalidSchedule as error:
            problems += error.details
        jitter = _whole(config, "jitter_seconds", 0, JITTER_LIMIT_SECONDS, 0, problems)
        limit = _whole(config, "missed_limit", 1, MISSED_LIMIT, DEFAULT_MISSED, problems)
        missed = config.get("missed", Missed.ONE)
        if missed not in list(Missed):
            problems.append(Problem("missed", f"must be one of {', '.join(Missed)}"))
        start, end = _moment(config, "start_at", problems), _moment(config, "end_at", problems)
        if start and end and end < start:
            problems.append(Problem("end_at", "is before start_at"))
        if problems or schedule is None:
            raise InvalidSchedule.of(problems, "The schedule is not valid")
        return cls(schedule, seed, timedelta(seconds=jitter), Missed(missed), limit, start, end)

    def next_after(self, moment: datetime) -> Fire | None:
        """Return the first fire the schedule names strictly after the moment; None when it has ended."""
        if self.start is not None:
            moment = max(moment, self.start - _INSTANT)
        at = self.schedule.next_after(moment)
        return None if self.end is not None and at > self.end else Fire(at, at + self._spread(at))

    def owed(self, due: datetime, now: datetime) -> tuple[list[Fire], Fire | None]:
        """Return the fires to make now, oldest first, and the one to wait for; None when there is none.

        Args:
            due: when the fire last waited for was due; not after `now`.
            now: the present moment.
        """
        first = Fire(self._named(due), due)
        until = now if self.end is None else min(now, self.end)
        # A fire comes before the next one is named, so at most the newest is named and not yet due.
        later = self.schedule.missed_between(first.at, until, self.missed_limit + 1)
        passed = [first, *(Fire(at, at + self._spread(at)) for at in later)]
        passed = [fire for fire in passed if fire.due <= now]
        following = self.next_after(passed[-1].at)
        if self.missed is Missed.ALL:
            return passed[-self.missed_limit :], following
        is_late = now - passed[-1].due > LATE
        return [] if self.missed is Missed.SKIP and is_late else passed[-1:], following

    def named_between(self, since: datetime, until: datetime) -> Iterator[Fire]:
        """Yield the fires the schedule names from `since` to before `until`, oldest first."""
        fire = self.next_after(since - _INSTANT)
        while fire is not None and fire.at < until:
            yield fire
            fire = self.next_after(fire.at)

    def _named(self, due: datetime) -> datetime:
        """Return the time the schedule names for a fire that is due then."""
        newest = self.schedule.missed_between(due - self.jitter, due, 1) if self.jitter else ()
        return newest[0] if newest else due

    def _spread(self, at: datetime) -> timedelta:
        """Return how long after its time a fire happens: always the same, and always before the next one is named."""
        if not self.jitter:
            return timedelta()
        longest = min(self.jitter, self.schedule.next_after(at) - at)
        digest = hashlib.sha256(f"{self.seed}:{at.timestamp():.0f}".encode()).digest()
        return int.from_bytes(digest[:8]) % (longest // _MILLISECOND) * _MILLISECOND


def parse_moment(text: object) -> datetime:
    """Return an ISO 8601 time with an offset, in UTC; raise ValueError for anything else."""
    moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    if moment is None or moment.tzinfo is None:
        raise ValueError("Give an ISO 8601 time with an offset, such as 2026-05-01T09:00:00+02:00")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("The time is out of range") from error


def _moment(config: Mapping[str, Any], name: str, problems: list[Problem]) -> datetime | None:
    if config.get(name) is None:
        return None
    try:
        return parse_moment(config[name])
    except ValueError:
        problems.append(
            Problem(name, "must be an ISO 8601 time with an offset, such as 2026-05-01T09:00:00+02:00")
        )
        return None


def _whole(
    config: Mapping[str, Any], name: str, least: int, most: int, default: int, problems: list[Problem]
) -> int:
    value = config.get(name, default)
    if type(value) is int and least <= value <= most:
        return value
    problems.append(Problem(name, f"must be a whole number from {least} to {most}"))
    return default
