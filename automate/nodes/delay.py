"""The step `delay`: goes on after a time, or at one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from automate_core.errors import PermanentError, Problem
from automate_core.steps import Effect, StepContext, StepHandler, Wait
from automate_core.templating import is_fixed

MAX_SECONDS = 366 * 86_400.0
UNITS: Mapping[str, float] = {"seconds": 1.0, "minutes": 60.0, "hours": 3_600.0, "days": 86_400.0}
_WAYS = ("seconds", "duration", "until")


class DelayStep(StepHandler):
    """Waits `seconds`, a `duration` in a `unit`, or `until` a time, without holding a worker."""

    type = "delay"
    aliases = ("static_delay",)
    label = "Delay"
    effect = Effect.PURE
    config_schema = {
        "type": "object",
        "properties": {
            "duration": {
                "type": ["number", "string"], "minimum": 0, "title": "Duration",
                "description": "How long to wait, in the unit beside it; at most 366 days.",
            },
            "unit": {
                "enum": list(UNITS), "default": "seconds", "title": "Unit", "description": "Unit of the duration.",
            },
            "seconds": {
                "type": ["number", "string"], "minimum": 0, "maximum": MAX_SECONDS, "title": "Seconds",
                "description": "How long to wait, in seconds; instead of a duration.",
            },
            "until": {
                "type": "string", "format": "date-time", "title": "Until",
                "description": "ISO 8601 time to wait for, UTC without an offset; instead of a duration.",
            },
        },
        "dependentRequired": {"unit": ["duration"]},
    }  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Require exactly one way to say how long."""
        if sum(way in config for way in _WAYS) != 1:
            return [Problem("", "give one of seconds, duration (with its unit) and until")]
        if config.get("unit", "seconds") not in UNITS:
            return [Problem("unit", f"must be one of {', '.join(UNITS)}")]
        if "unit" in config and "duration" not in config:
            return [Problem("unit", "belongs to a duration; leave it out")]
        way = next(way for way in _WAYS if way in config)
        if not is_fixed(config[way]):
            return []
        try:
            self._wait(way, config)
        except PermanentError as error:
            return [Problem(way, str(error).removeprefix(f"{way} "))]
        return []

    def run(self, config: Mapping[str, Any], context: StepContext) -> Wait:
        """Return the wait."""
        return self._wait(next(way for way in _WAYS if way in config), config)

    def _wait(self, way: str, config: Mapping[str, Any]) -> Wait:
        given = config[way]
        if way == "until":
            return Wait(until=_moment(given))
        try:
            seconds = float(given) * UNITS[config.get("unit", "seconds")]
        except (TypeError, ValueError):
            raise PermanentError(f"{way} must be a number, not {given!r:.100}") from None
        if isinstance(given, bool) or not 0 <= seconds <= MAX_SECONDS:
            raise PermanentError(
                f"{way} must be a number from 0 to 366 days, which are 31622400 seconds, not {given!r:.100}"
            )
        return Wait(seconds=seconds)


def _moment(value: Any) -> datetime:
    """Read an ISO 8601 time; one without an offset is UTC."""
    try:
        moment = datetime.fromisoformat(str(value))
        # In UTC, for the database hands out no time outside the years 1 to 9999.
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise PermanentError(f"until must be an ISO 8601 time, not {value!r:.100}") from None
