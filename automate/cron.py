"""When a schedule fires: cron expressions in a time zone, and fixed intervals; the clock is passed in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from automate_core.errors import Problem, ValidationFailed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CRON_LIMIT = 255
"""Longest cron expression, in characters."""
INTERVAL_LIMIT_SECONDS = 366 * 86_400
"""Longest interval: a leap year."""

_CRON_ADVICE = "five fields (minute hour day-of-month month day-of-week), for example '0 9 * * 1-5'"
_PROBE = datetime(2000, 1, 1, tzinfo=UTC)
_FIRST_LOOK_BACK = timedelta(hours=1)


class InvalidSchedule(ValidationFailed):
    """The schedule is not valid."""


class Schedule(ABC):
    """A rule that says when to fire next; equal configurations make equal schedules."""

    @classmethod
    def parse(cls, config: Mapping[str, Any], *, anchor: datetime = EPOCH) -> Schedule:
        """Return the schedule a configuration describes; raise InvalidSchedule naming every problem.

        Args:
            config: either `{"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"}`, the zone an IANA name
                and UTC when absent, or `{"interval_seconds": N}`, N a whole number from 1 to
                INTERVAL_LIMIT_SECONDS. A zone beside an interval must exist and changes nothing.
                Other keys are not looked at.
            anchor: moment intervals are counted from; a cron schedule has no use for it.
        """
        problems: list[Problem] = []
        zone = _zone(config.get("timezone"), problems)
        cron, interval = config.get("cron"), config.get("interval_seconds")
        schedule: Schedule | None = None
        if cron is not None and interval is not None:
            problems.append(Problem("interval_seconds", "Give either cron or interval_seconds, not both"))
        elif interval is not None:
            schedule = _interval(interval, anchor, problems)
        elif cron is not None:
            schedule = _cron(cron, zone, problems)
        else:
            problems.append(Problem("cron", f"Give cron as {_CRON_ADVICE}, or interval_seconds"))
        if problems or schedule is None:
            raise InvalidSchedule.of(problems, "The schedule is not valid")
        return schedule

    @abstractmethod
    def next_after(self, moment: datetime) -> datetime:
        """Return the first firing strictly after the moment, in UTC.

        Args:
            moment: an aware datetime in any zone; a naive one raises ValueError.
        """

    def missed_between(self, last: datetime, now: datetime, limit: int) -> tuple[datetime, ...]:
        """Return the newest firings after `last` up to and including `now`, oldest first, in UTC.

        Older firings than the newest `limit` are not returned, so work after a long stop is bounded:
        0 skips what was missed, 1 makes up for the latest, more catch up.

        Args:
            last: the firing last handled, or the moment the schedule was switched on.
            now: the present moment.
            limit: most firings returned.
        """
        last, now = _utc(last), _utc(now)
        if limit <= 0 or now <= last:
            return ()
        look_back = _FIRST_LOOK_BACK
        while True:
            start = max(last, now - look_back)
            fired = deque(takewhile(lambda fire: fire <= now, self._from(start)), maxlen=limit)
            if start == last or len(fired) == limit:
                return tuple(fired)
            look_back *= 2

    def _from(self, moment: datetime) -> Iterator[datetime]:
        while True:
            moment = self.next_after(moment)
            yield moment


@dataclass(frozen=True, slots=True)
class CronSchedule(Schedule):
    """Fires when the local clock of a zone matches a cron expression of five fields.

    Days follow Debian cron: when neither day field starts with `*`, matching one of them is enough.
    Changes of the clock follow Debian cron too. With fixed minutes and hours (neither field starts with
    `*`) a firing whose local time does not exist that day happens once, at the moment the clock jumps to,
    and one whose local time comes twice happens the first time only. With `*` in minutes or hours the
    schedule follows the passing of time: skipped local times do not fire, repeated ones fire twice.
    Source: https://github.com/cuu508/cronsim, which does the search.
    """

    expression: str
    zone: tzinfo

    def next_after(self, moment: datetime) -> datetime:
        """Return the first firing after the moment, in UTC; raise InvalidSchedule if 50 years hold none."""
        after = _utc(moment)
        # While a repeated hour passes for the second time the library may answer with a moment of the first.
        for local in CronSim(self.expression, after.astimezone(self.zone)):
            fire = local.astimezone(UTC)
            if fire > after:
                return fire
        raise InvalidSchedule(f"The cron expression {self.expression!r} never fires")


@dataclass(frozen=True, slots=True)
class IntervalSchedule(Schedule):
    """Fires at the anchor plus every whole multiple of the interval, before and after it."""

    interval: timedelta
    anchor: datetime

    def next_after(self, moment: datetime) -> datetime:
        """Return the first multiple strictly after the moment, in UTC."""
        steps = (_utc(moment) - self.anchor) // self.interval + 1
        return self.anchor + steps * self.interval


def _zone(name: object, problems: list[Problem]) -> tzinfo:
    if name is None or name in ("UTC", "Etc/UTC"):
        return UTC
    try:
        if isinstance(name, str):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    problems.append(
        Problem("timezone", f"Unknown time zone {str(name)[:80]!r}; use an IANA name like 'Europe/Berlin'")
    )
    return UTC


def _cron(text: object, zone: tzinfo, problems: list[Problem]) -> CronSchedule | None:
    if not isinstance(text, str) or len(text) > CRON_LIMIT:
        problems.append(Problem("cron", f"Give a text of at most {CRON_LIMIT} characters: {_CRON_ADVICE}"))
        return None
    expression = " ".join(text.split())
    if expression.count(" ") != 4:
        problems.append(Problem("cron", f"{text!r} does not have {_CRON_ADVICE}"))
        return None
    try:
        next(CronSim(expression, _PROBE))
    except CronSimError as error:
        problems.append(Problem("cron", f"{error} in {text!r}; give {_CRON_ADVICE}"))
        return None
    except StopIteration:
        problems.append(Problem("cron", f"{text!r} never fires; correct the day and month"))
        return None
    return CronSchedule(expression, zone)


def _interval(seconds: object, anchor: datetime, problems: list[Problem]) -> IntervalSchedule | None:
    if type(seconds) is not int or not 1 <= seconds <= INTERVAL_LIMIT_SECONDS:
        problems.append(
            Problem("interval_seconds", f"Give a whole number of seconds from 1 to {INTERVAL_LIMIT_SECONDS}")
        )
        return None
    return IntervalSchedule(timedelta(seconds=seconds), _utc(anchor))


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("Schedules need an aware datetime; give the moment a time zone")
    return moment.astimezone(UTC)
