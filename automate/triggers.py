"""What a trigger's configuration means, and what is wrong with one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.models import BinaryField, Model

from automate.cron import InvalidSchedule
from automate.enums import TriggerType
from automate.forms import form_problems
from automate.limits.windows import window_problems
from automate.rules import compile_rule
from automate.timetable import Timetable
from automate_core.errors import AutomateError, Problem

UNWATCHED_APPS = ("automate", "automate_core", "automate_api", "sessions", "migrations")
"""Apps whose models change while workflows run, or with every request: watching them would go round in circles."""

MODEL_CHANGES = ("created", "updated", "deleted")
EXECUTION_ENDS = ("finished", "succeeded", "failed", "cancelled", "overdue")
MAX_FIELDS = 50
"""Most fields a model trigger names."""
OVERDUE_LIMIT_SECONDS = 366 * 86_400
"""Longest time after which an execution is overdue: a leap year."""

_FOR_ALL = frozenset({"event_type", "source", "rule"})
_WINDOWS = frozenset({"debounce", "throttle"})
_TIMES = frozenset(
    [
        "cron",
        "timezone",
        "interval_seconds",
        "anchor",
        "jitter_seconds",
        "missed",
        "missed_limit",
        "start_at",
        "end_at",
    ]
)
KEYS: dict[str, frozenset[str]] = {
    TriggerType.WEBHOOK.value: _FOR_ALL | _WINDOWS,
    TriggerType.EVENT.value: _FOR_ALL | _WINDOWS,
    TriggerType.SCHEDULE.value: _FOR_ALL | _TIMES,
    TriggerType.MANUAL.value: _FOR_ALL | {"form"},
    TriggerType.MODEL.value: _FOR_ALL | _WINDOWS | {"model", "changes", "fields"},
    TriggerType.EXECUTION.value: _FOR_ALL | _WINDOWS | {"on", "workflow", "after_seconds"},
}
"""What the configuration of each type of trigger may hold."""

_SLUGS = re.compile(r"[a-z0-9_*?-]{1,100}")
_ANY_ID = "00000000-0000-7000-8000-000000000000"


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
    for name in sorted(map(str, set(config) - KEYS[kind])):
        known = ", ".join(sorted(KEYS[kind]))
        found.append(
            Problem(f"trigger_config.{name[:100]}", f"is not known to {kind} triggers; known: {known}")
        )
    if config.get("rule") is not None:
        found += _rule_problems(config["rule"])
    found += window_problems(config)
    if not found:
        found = _PROBLEMS[kind](config)
    if not found and config.get("rule") is not None:
        # Joined with what the configuration itself demands, the rule may be too deep or too large.
        found = _rule_problems(trigger_spec(kind, config, automation_id=_ANY_ID).rule)
    return found


def trigger_spec(kind: str, config: Mapping[str, Any], *, automation_id: str) -> TriggerSpec:
    """Return the columns of a trigger without problems.

    Args:
        kind: its type.
        config: its configuration; that of a model trigger comes back with the model's label and column names.
        automation_id: the automation it starts, which never watches itself.
    """
    event_type, source = config.get("event_type", ""), config.get("source", "")
    demands: list[Any] = []
    if kind == TriggerType.MODEL:
        config = _plain_model_config(config)
        source = TriggerType.MODEL.value
        event_type = _model_event_type(config)
        demands = _field_demands(config)
    elif kind == TriggerType.EXECUTION:
        source = TriggerType.EXECUTION.value
        event_type = _execution_event_type(config)
        demands = [{"!=": [{"var": "event.payload.workflow_id"}, automation_id]}]
        if config["on"] == "overdue":
            demands.append({"==": [{"var": "event.payload.after_seconds"}, config["after_seconds"]]})
    rule = config.get("rule")
    if demands:
        rule = {"and": [*demands, rule] if rule is not None else demands}
    return TriggerSpec(kind, dict(config), event_type, source, rule)


def _plain_model_config(config: Mapping[str, Any]) -> dict[str, Any]:
    model = apps.get_model(config["model"])
    plain = {**config, "model": model._meta.label_lower}
    if config.get("fields"):
        plain["fields"] = sorted(_columns(model)[name] for name in config["fields"])
    return plain


def _model_event_type(config: Mapping[str, Any]) -> str:
    changes = sorted(set(config.get("changes") or MODEL_CHANGES))
    # The changes differ in their first letter, so a glob can name any set of them.
    initials = "".join(change[0] for change in changes)
    last = changes[0] if len(changes) == 1 else f"[{initials}]*"
    return f"model.{config['model']}.{last}"


def _field_demands(config: Mapping[str, Any]) -> list[Any]:
    if not config.get("fields"):
        return []
    changed = [{"!!": [{"var": f"event.payload.changed.{name}"}]} for name in config["fields"]]
    return [{"or": [{"!=": [{"var": "event.payload.change"}, "updated"]}, *changed]}]


def _execution_event_type(config: Mapping[str, Any]) -> str:
    # Being overdue is not an end; of the words for what happens it alone begins with an o.
    word = "[!o]*" if config["on"] == "finished" else config["on"]
    return f"execution.{word}.{config.get('workflow') or '*'}"


def _rule_problems(rule: Any) -> list[Problem]:
    try:
        compile_rule(rule)
    except AutomateError as error:
        return [Problem("trigger_config.rule", error.message)]
    return []


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


def _manual_problems(config: Mapping[str, Any]) -> list[Problem]:
    if config.get("form") is None:
        return []
    return [
        Problem(f"trigger_config.form.{problem.field}".rstrip("."), problem.message)
        for problem in form_problems(config["form"])
    ]


def _model_problems(config: Mapping[str, Any]) -> list[Problem]:
    name, changes = config.get("model"), config.get("changes", MODEL_CHANGES)
    found = []
    model = _installed(name)
    if not isinstance(name, str) or name.count(".") != 1:
        found.append(Problem("trigger_config.model", 'is required, as "app_label.ModelName"'))
    elif model is None:
        found.append(Problem("trigger_config.model", f"there is no model {name!r} in the installed apps"))
    elif model._meta.app_label in UNWATCHED_APPS:
        found.append(
            Problem("trigger_config.model", f"changes of {name!r} start nothing; watch another model")
        )
    if (
        not isinstance(changes, list | tuple)
        or not changes
        or any(one not in MODEL_CHANGES for one in changes)
    ):
        found.append(Problem("trigger_config.changes", f"must be a list of {', '.join(MODEL_CHANGES)}"))
    if not found and model is not None and config.get("fields") is not None:
        found += _field_problems(model, changes, config["fields"])
    return found


def _field_problems(model: type[Model], changes: Any, names: Any) -> list[Problem]:
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_FIELDS:
        return [Problem("trigger_config.fields", f"must be a list of 1 to {MAX_FIELDS} names of fields")]
    if "updated" not in changes:
        return [Problem("trigger_config.fields", 'is of use with the change "updated" only; leave it out')]
    columns = _columns(model)
    return [
        Problem(
            f"trigger_config.fields[{index}]",
            f"{model._meta.label} has no field {str(name)[:100]!r} that can be told of",
        )
        for index, name in enumerate(names)
        if not isinstance(name, str) or name not in columns
    ]


def _execution_problems(config: Mapping[str, Any]) -> list[Problem]:
    found = []
    on, slugs, after = config.get("on"), config.get("workflow"), config.get("after_seconds")
    if on not in EXECUTION_ENDS:
        found.append(Problem("trigger_config.on", f"is required: one of {', '.join(EXECUTION_ENDS)}"))
    if slugs is not None and (not isinstance(slugs, str) or not _SLUGS.fullmatch(slugs)):
        found.append(
            Problem("trigger_config.workflow", "must be a workflow's slug, or a glob such as orders-*")
        )
    if on == "overdue" and (type(after) is not int or not 1 <= after <= OVERDUE_LIMIT_SECONDS):
        found.append(
            Problem(
                "trigger_config.after_seconds",
                f"is required: a whole number of seconds from 1 to {OVERDUE_LIMIT_SECONDS}",
            )
        )
    elif on != "overdue" and after is not None:
        found.append(
            Problem("trigger_config.after_seconds", 'is of use with "on": "overdue" only; leave it out')
        )
    return found


def _installed(name: Any) -> type[Model] | None:
    try:
        return apps.get_model(name) if isinstance(name, str) else None
    except (LookupError, ValueError):
        return None


def _columns(model: type[Model]) -> dict[str, str]:
    """Return the attribute of each field events tell of, by the field's name and by the attribute's own."""
    told = [field for field in model._meta.concrete_fields if not isinstance(field, BinaryField)]
    found = {field.name: field.attname for field in told}
    return {**found, **{attname: attname for attname in found.values()}}


_PROBLEMS = {
    TriggerType.WEBHOOK.value: _event_problems,
    TriggerType.EVENT.value: _event_problems,
    TriggerType.SCHEDULE.value: _schedule_problems,
    TriggerType.MANUAL.value: _manual_problems,
    TriggerType.MODEL.value: _model_problems,
    TriggerType.EXECUTION.value: _execution_problems,
}
