from __future__ import annotations

from typing import Any

import pytest
from rest_framework import serializers

from automate_api.bodies import BodySerializer
from automate_api.errors import problems_of


class Body(BodySerializer):
    text = serializers.CharField(required=False, allow_null=True)
    pick = serializers.ChoiceField(choices=["1", "2"], required=False)
    flag = serializers.BooleanField(required=False)
    number = serializers.IntegerField(required=False)
    names = serializers.ListField(child=serializers.CharField(), required=False)
    needed = serializers.CharField()


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ({"text": 5}, {"text": "Give a string"}),
        ({"text": True}, {"text": "Give a string"}),
        ({"pick": 1}, {"pick": "Give a string"}),
        ({"flag": "true"}, {"flag": "Give true or false"}),
        ({"flag": 1}, {"flag": "Give true or false"}),
        ({"number": "5"}, {"number": "Give a whole number"}),
        ({"number": 5.0}, {"number": "Give a whole number"}),
        ({"number": True}, {"number": "Give a whole number"}),
        ({"names": ["a", 5, "b"]}, {"names[1]": "Give a string"}),
    ],
)
def test_value_of_another_type_is_refused_by_name(given: dict[str, Any], problems: dict[str, str]) -> None:
    body = Body(data={"needed": "a", **given})
    assert not body.is_valid()
    assert {problem.field: problem.message for problem in problems_of(body.errors)} == problems


def test_wrong_types_and_other_problems_are_named_together() -> None:
    body = Body(data={"flag": "yes"})
    assert not body.is_valid()
    assert {problem.field for problem in problems_of(body.errors)} == {"flag", "needed"}


def test_values_of_the_right_type_pass() -> None:
    given = {"text": None, "pick": "1", "flag": False, "number": 5, "names": ["a"], "needed": "a"}
    body = Body(data=given)
    assert body.is_valid()
    assert body.validated_data == given
