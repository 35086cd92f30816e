"""Emits an event, in the same transaction, when a watched Django model is created, updated or deleted."""

from __future__ import annotations

import time
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import ProgrammingError, models, transaction
from django.db.models.signals import post_delete, post_save

from automate.emission import emit
from automate.enums import TriggerType
from automate.models import Trigger
from automate.triggers import UNWATCHED_APPS
from automate_core.models import current_tenant_id

FRESH_SECONDS = 2.0
"""How long the set of watched models is believed; a trigger saved in this process counts at once."""

_watched: frozenset[str] = frozenset()
_read_at = float("-inf")


def connect() -> None:
    """Listen to saves and deletions of every model, and to changes of triggers."""
    post_save.connect(_saved, dispatch_uid="automate.model_triggers.saved")
    post_delete.connect(_deleted, dispatch_uid="automate.model_triggers.deleted")


def forget() -> None:
    """Read the set of watched models anew at the next change."""
    global _read_at
    _read_at = float("-inf")


def snapshot(instance: models.Model) -> dict[str, Any]:
    """Return the instance's own columns as plain JSON data, by attribute name."""
    plain: dict[str, Any] = {}
    encoder = DjangoJSONEncoder()
    for field in instance._meta.concrete_fields:
        value = field.value_from_object(instance)
        if value is None or isinstance(value, str | int | float | bool | list | dict):
            plain[field.attname] = value
        elif isinstance(value, bytes | memoryview):
            continue
        else:
            try:
                plain[field.attname] = encoder.default(value)
            except TypeError:
                plain[field.attname] = str(value)
    return plain


def _saved(
    sender: type[models.Model], instance: models.Model, created: bool, raw: bool, using: str, **_: Any
) -> None:
    if sender is Trigger:
        forget()
    elif not raw and using == "default" and _is_watched(sender):
        _emit(sender, instance, "created" if created else "updated")


def _deleted(sender: type[models.Model], instance: models.Model, using: str, **_: Any) -> None:
    if sender is Trigger:
        forget()
    elif using == "default" and _is_watched(sender):
        _emit(sender, instance, "deleted")


def _is_watched(model: type[models.Model]) -> bool:
    global _watched, _read_at
    if model._meta.app_label in UNWATCHED_APPS:
        return False
    now = time.monotonic()
    if now - _read_at > FRESH_SECONDS:
        _watched, _read_at = _read_watched(), now
    return model._meta.label_lower in _watched


def _read_watched() -> frozenset[str]:
    triggers = Trigger.all_tenants.filter(type=TriggerType.MODEL, is_enabled=True)
    try:
        with transaction.atomic():
            configs = list(triggers.values_list("config", flat=True))
    except ProgrammingError:
        # The table is not there yet: a host's own migrations save rows too.
        return frozenset()
    return frozenset(str(config.get("model", "")).lower() for config in configs)


def _emit(model: type[models.Model], instance: models.Model, change: str) -> None:
    label = model._meta.label_lower
    emit(
        f"model.{label}.{change}",
        {"model": label, "change": change, "pk": str(instance.pk), "object": snapshot(instance)},
        source=TriggerType.MODEL.value,
        tenant_id=current_tenant_id(),
    )
