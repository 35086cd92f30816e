"""Rows of host models as plain JSON data, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

Row = dict[str, Any]

_encoder = DjangoJSONEncoder()


def snapshot(instance: models.Model) -> Row:
    """Return the instance's own columns as plain JSON data, by attribute name; binary columns are left out."""
    fields = instance._meta.concrete_fields
    return _plain({field.attname: field.value_from_object(instance) for field in fields})


def read(model: type[models.Model], pk: Any, *, lock: bool) -> Row | None:
    """Return the row as the database has it, as `snapshot` would; None when there is none.

    Args:
        model: whose row.
        pk: its primary key.
        lock: whether the row stays as it is until the transaction ends; outside a transaction nothing can hold it.
    """
    rows = model._base_manager.filter(pk=pk)
    if lock:
        rows = rows.select_for_update(no_key=True)
    found = rows.values(*(field.attname for field in model._meta.concrete_fields)).first()
    return None if found is None else _plain(found)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return `{name: {"old": ..., "new": ...}}` for every column that differs."""
    return {
        name: {"old": before.get(name), "new": value}
        for name, value in after.items()
        if before.get(name) != value
    }


def _plain(values: Mapping[str, Any]) -> Row:
    plain: Row = {}
    for name, value in values.items():
        if value is None or isinstance(value, str | int | float | bool | list | dict):
            plain[name] = value
        elif isinstance(value, bytes | memoryview):
            continue
        else:
            try:
                plain[name] = _encoder.default(value)
            except TypeError:
                plain[name] = str(value)
    return plain
