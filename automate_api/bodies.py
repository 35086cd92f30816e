"""Request bodies read strictly: a value of another JSON type than the documented one is refused, not converted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from automate_api.errors import problems_of
from automate_core.errors import Problem, ValidationFailed

_KINDS: tuple[tuple[type[serializers.Field[Any, Any, Any, Any]], type, str], ...] = (
    (serializers.CharField, str, "Give a string"),
    (serializers.UUIDField, str, "Give a UUID"),
    (serializers.ChoiceField, str, "Give a string"),
    (serializers.BooleanField, bool, "Give true or false"),
    (serializers.IntegerField, int, "Give a whole number"),
    (serializers.DictField, dict, "Give an object"),
    (serializers.ListField, list, "Give a list"),
)

_BELOW = re.compile(r"[.\[]")


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


def valid(
    kind: type[serializers.Serializer[Any]],
    request: Request,
    *,
    data: Mapping[str, Any] | None = None,
    partial: bool = False,
    others: Callable[[Mapping[str, Any]], Sequence[Problem]] = lambda given: (),
) -> dict[str, Any]:
    """Return the values of a request's body, or of `data` that was given in its place.

    Args:
        kind: the serializer that reads it.
        request: the request.
        data: what is read instead of the body.
        partial: whether fields that are needed may be absent.
        others: says what is wrong with fields of the right types. It is asked when there are some of the wrong type:
            the verb that would say it is not reached then.

    Raises:
        ValidationFailed: with every wrong field.
    """
    sent: Any = request.data if data is None else data
    serializer = kind(data=sent, partial=partial)
    if serializer.is_valid():
        return dict(serializer.validated_data)
    wrong = serializer.errors
    given = {name: value for name, value in sent.items() if name in serializer.fields and name not in wrong}
    further = [problem for problem in others(given) if _BELOW.split(problem.field, maxsplit=1)[0] in given]
    raise ValidationFailed.of([*problems_of(wrong), *further])


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
