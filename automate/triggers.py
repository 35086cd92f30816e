"""What a trigger's configuration means, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.apps import apps

from automate.cron import InvalidSchedule
from automate.enums import TriggerType
from automate.rules import compile_rule
from automate.timetable import Timetable
from automate_core.errors import AutomateError, Problem

UNWATCHED_APPS = ("automate", "automate_core", "automate_api", "sessions", "migrations")
"""Apps whose models change while workflows run, or with every request: watching them would go round in circles."""

MODEL_CHANGES = ("created", "updated", "deleted")


@dataclass(frozen=True, slots=True)
class TriggerSpec:
    """A trigger's columns, as its type and configuration give them."""

    type: str
    config: dict[str, Any]
    event_type: str
    source: str
    rule: Any


def trigger_problems(kind: Any, config: Any) -> list[Problem]:
    """Return what is wrong with a trigger; fields are `trigger_type` and `trigger_config...`."""
    if kind not in TriggerType.values:
        return [Problem("trigger_type", f"must be one of {', '.join(TriggerType.values)}, not {kind!r}")]
    if not isinstance(config, Mapping):
        return [Problem("trigger_config", "must be an object")]
    found = [
        Problem(f"trigger_config.{name}", f"must be a string of at most {limit} characters")
        for name, limit in (("event_type", 255), ("source", 100))
        if not isinstance(config.get(name, ""), str) or len(config.get(name, "")) > limit
    ]
    if config.get("rule") is not None:
        try:
            compile_rule(config["rule"])
        except AutomateError as error:
            found.append(Problem("trigger_config.rule", error.message))
    if not found:
        found = _PROBLEMS.get(kind, _no_problems)(config)
    return found


def trigger_spec(kind: str, config: Mapping[str, Any]) -> TriggerSpec:
    """Return the columns of a trigger without problems."""
    event_type, source = config.get("event_type", ""), config.get("source", "")
    if kind == TriggerType.MODEL:
        changes = sorted(set(config.get("changes") or MODEL_CHANGES))
        label = str(config["model"]).lower()
        # The changes differ in their first letter, so a glob can name any set of them.
        initials = "".join(change[0] for change in changes)
        event_type = f"model.{label}.{changes[0]}" if len(changes) == 1 else f"model.{label}.[{initials}]*"
        source = "model"
    return TriggerSpec(kind, dict(config), event_type, source, config.get("rule"))


def _event_problems(config: Mapping[str, Any]) -> list[Problem]:
    if config.get("event_type") or config.get("source"):
        return []
    return [Problem("trigger_config.event_type", "is required: an event type, or a glob such as order.*")]


def _schedule_problems(config: Mapping[str, Any]) -> list[Problem]:
    try:
        Timetable.parse(config, seed="")
    except InvalidSchedule as error:
        return [Problem(f"trigger_config.{problem.field}", problem.message) for problem in error.details]
    return []


def _model_problems(config: Mapping[str, Any]) -> list[Problem]:
    model, changes = config.get("model"), config.get("changes", MODEL_CHANGES)
    found = []
    if not isinstance(model, str) or model.count(".") != 1:
        found.append(Problem("trigger_config.model", 'is required, as "app_label.ModelName"'))
    elif not _is_installed(model):
        found.append(Problem("trigger_config.model", f"there is no model {model!r} in the installed apps"))
    elif model.lower().partition(".")[0] in UNWATCHED_APPS:
        found.append(
            Problem("trigger_config.model", f"changes of {model!r} start nothing; watch another model")
        )
    if (
        not isinstance(changes, list | tuple)
        or not changes
        or any(one not in MODEL_CHANGES for one in changes)
    ):
        found.append(Problem("trigger_config.changes", f"must be a list of {', '.join(MODEL_CHANGES)}"))
    return found


def _is_installed(model: str) -> bool:
    try:
        apps.get_model(model)
    except LookupError:
        return False
    return True


def _no_problems(config: Mapping[str, Any]) -> list[Problem]:
    return []


_PROBLEMS = {
    TriggerType.WEBHOOK.value: _event_problems,
    TriggerType.EVENT.value: _event_problems,
    TriggerType.SCHEDULE.value: _schedule_problems,
    TriggerType.MODEL.value: _model_problems,
}
