"""Request bodies read strictly: a value of another JSON type than the documented one is refused, not converted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

_KINDS: tuple[tuple[type[serializers.Field[Any, Any, Any, Any]], type, str], ...] = (
    (serializers.CharField, str, "Give a string"),
    (serializers.ChoiceField, str, "Give a string"),
    (serializers.BooleanField, bool, "Give true or false"),
    (serializers.IntegerField, int, "Give a whole number"),
)


class BodySerializer(serializers.Serializer[Any]):
    """A body of which strings are strings, booleans booleans and integers integers, as the document says."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the values; raises ValidationError naming every field of another type too."""
        given = data if isinstance(data, Mapping) else {}
        wrong = {
            name: found for name, field in self.fields.items() if (found := _mismatch(field, given.get(name)))
        }
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            detail = error.detail if isinstance(error.detail, dict) else {"non_field_errors": error.detail}
            raise serializers.ValidationError({**detail, **wrong}) from error
        if wrong:
            raise serializers.ValidationError(wrong)
        return values


def _mismatch(field: Any, value: Any) -> Any:
    """Return what is wrong about the type of a value: a message, messages by index, or nothing."""
    if value is None:
        return None
    if isinstance(field, serializers.ListField) and isinstance(value, list):
        return {index: [found] for index, item in enumerate(value) if (found := _mismatch(field.child, item))}
    for kind, wanted, message in _KINDS:
        if isinstance(field, kind):
            is_right = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
            return None if is_right else message
    return None
