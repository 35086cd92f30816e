"""Which models are watched, for which changes and which of their fields; read from the triggers now and then."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import ProgrammingError, models, transaction

from automate.enums import TriggerType
from automate.models import Trigger
from automate.triggers import MODEL_CHANGES, UNWATCHED_APPS

FRESH_SECONDS = 2.0
"""How long the set of watched models is believed; a trigger saved in this process counts at once."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What somebody wants to hear of a model; `any_update` when an update counts whatever it changed."""

    changes: frozenset[str] = frozenset()
    any_update: bool = False
    fields: frozenset[str] = frozenset()

    def joined(self, config: Mapping[str, Any]) -> Watched:
        """Return this with a trigger's wishes added."""
        changes = frozenset(config.get("changes") or MODEL_CHANGES)
        fields = frozenset(config.get("fields") or ())
        any_update = self.any_update or ("updated" in changes and not fields)
        return Watched(self.changes | changes, any_update, self.fields | fields)

    def wants(self, change: str, changed: Mapping[str, Any]) -> bool:
        """Tell whether somebody wants to hear of a change of these fields."""
        if change != "updated":
            return change in self.changes
        return self.any_update or not self.fields.isdisjoint(changed)


_watched: dict[str, Watched] = {}
_read_at = float("-inf")


def forget() -> None:
    """Read the set of watched models anew at the next change."""
    global _read_at
    _read_at = float("-inf")


def watched(model: type[models.Model]) -> Watched | None:
    """Return what is wanted of a model's changes, if anything."""
    global _watched, _read_at
    if model._meta.app_label in UNWATCHED_APPS:
        return None
    now = time.monotonic()
    if now - _read_at > FRESH_SECONDS:
        _watched, _read_at = _read(), now
    return _watched.get(model._meta.label_lower)


def _read() -> dict[str, Watched]:
    triggers = Trigger.all_tenants.filter(type=TriggerType.MODEL, is_enabled=True)
    try:
        with transaction.atomic():
            configs = list(triggers.values_list("config", flat=True))
    except ProgrammingError:
        # The table is not there yet: a host's own migrations save rows too.
        return {}
    found: dict[str, Watched] = {}
    for config in configs:
        label = str(config.get("model", "")).lower()
        found[label] = found.get(label, Watched()).joined(config)
    return found
