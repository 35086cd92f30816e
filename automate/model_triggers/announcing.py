"""Emits an event, in the same transaction, when a watched Django model is created, updated or deleted.

What an update changed is found by reading the row before and after it, and only for models with a trigger that names
fields. An instance cannot tell: it may be stale, partly loaded, made by hand, or hold expressions.
"""

from __future__ import annotations

from typing import Any

from django.db import connection, models
from django.db.models.fields import NOT_PROVIDED
from django.db.models.signals import post_delete, post_save, pre_save

from automate.emission import emit
from automate.enums import TriggerType
from automate.model_triggers import causes, database
from automate.model_triggers.rows import Row, difference, read, snapshot
from automate.model_triggers.watched import forget, watched
from automate.models import Trigger
from automate_core.models import TenantOwned, current_tenant_id

_BEFORE = "_automate_row_before"


def connect() -> None:
    """Listen to saves and deletions of every model, and to changes of triggers."""
    pre_save.connect(_saving, dispatch_uid="automate.model_triggers.saving")
    post_save.connect(_saved, dispatch_uid="automate.model_triggers.saved")
    post_delete.connect(_deleted, dispatch_uid="automate.model_triggers.deleted")
    causes.connect()


def _saving(sender: type[models.Model], instance: models.Model, raw: bool, using: str, **_: Any) -> None:
    instance.__dict__.pop(_BEFORE, None)
    if raw or using != "default":
        return
    wanted = watched(sender)
    if wanted and wanted.fields and not _is_insert(instance) and not database.has_triggers(sender):
        instance.__dict__[_BEFORE] = read(sender, instance.pk, lock=connection.in_atomic_block)


def _saved(
    sender: type[models.Model], instance: models.Model, created: bool, raw: bool, using: str, **_: Any
) -> None:
    before: Row | None = instance.__dict__.pop(_BEFORE, None)
    if sender is Trigger:
        forget()
    elif not raw and using == "default":
        _tell(sender, instance, "created" if created else "updated", before)


def _deleted(sender: type[models.Model], instance: models.Model, using: str, **_: Any) -> None:
    if sender is Trigger:
        forget()
    elif using == "default":
        _tell(sender, instance, "deleted", None)


def _tell(model: type[models.Model], instance: models.Model, change: str, before: Row | None) -> None:
    wanted = watched(model)
    # The database's own answer, not a remembered one: whoever installs triggers waits for the writers of the table,
    # so each change is told by exactly one of the two.
    if wanted is None or database.has_triggers(model):
        return
    label = model._meta.label_lower
    payload: dict[str, Any] = {"model": label, "change": change, "pk": str(instance.pk)}
    if change == "updated" and wanted.fields:
        row = read(model, instance.pk, lock=False) or snapshot(instance)
        # Without a row before it (its trigger was removed this moment) every column may have changed.
        payload |= {"object": row, "changed": difference(before or {}, row)}
    else:
        payload["object"] = snapshot(instance)
    if wanted.wants(change, payload.get("changed", {})):
        emit(
            f"model.{label}.{change}", payload, source=TriggerType.MODEL.value, tenant_id=_tenant_id(instance)
        )


def _is_insert(instance: models.Model) -> bool:
    """Tell whether Django will insert without looking for a row first."""
    key = instance._meta.pk
    makes_its_own = any(
        made and made is not NOT_PROVIDED for made in (key.default, getattr(key, "db_default", NOT_PROVIDED))
    )
    return instance.pk is None or (instance._state.adding and makes_its_own)


def _tenant_id(instance: models.Model) -> Any:
    return instance.tenant_id if isinstance(instance, TenantOwned) else current_tenant_id()
