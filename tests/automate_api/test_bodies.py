from __future__ import annotations

from typing import Any

import pytest
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from automate_api.bodies import BodySerializer, valid
from automate_api.errors import problems_of
from automate_core.errors import Problem, ValidationFailed


class Body(BodySerializer):
    text = serializers.CharField(required=False, allow_null=True)
    pick = serializers.ChoiceField(choices=["1", "2"], required=False)
    flag = serializers.BooleanField(required=False)
    number = serializers.IntegerField(required=False)
    names = serializers.ListField(child=serializers.CharField(), required=False)
    facts = serializers.DictField(required=False)
    id = serializers.UUIDField(required=False)
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
        ({"names": "a"}, {"names": "Give a list"}),
        ({"facts": ["a"]}, {"facts": "Give an object"}),
        ({"id": 5}, {"id": "Give a UUID"}),
        ({"id": "5"}, {"id": "Must be a valid UUID"}),
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


def wrong_fields(given: dict[str, Any], **options: Any) -> list[str]:
    with pytest.raises(ValidationFailed) as caught:
        valid(Body, Request(APIRequestFactory().post("/")), data=given, **options)
    return [problem.field for problem in caught.value.details]


def test_what_types_do_not_say_is_asked_of_the_fields_they_accept() -> None:
    def others(given: Any) -> list[Problem]:
        assert given == {"facts": {"a": 1}}
        return [
            Problem("facts.a", "is odd"),
            Problem("facts[0]", "is odd"),
            Problem("number", "is not asked"),
        ]

    given = {"facts": {"a": 1}, "number": "5", "unknown": 1}
    assert wrong_fields(given, others=others) == ["needed", "number", "facts.a", "facts[0]"]


def test_what_types_do_not_say_is_left_to_the_verb_when_they_accept_all() -> None:
    def others(given: Any) -> list[Problem]:
        raise AssertionError(given)

    request = Request(APIRequestFactory().post("/"))
    assert valid(Body, request, data={"needed": "a"}, others=others) == {"needed": "a"}
