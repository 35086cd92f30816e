from __future__ import annotations

import copy
import json
import pickle
import threading
from contextvars import copy_context

import orjson
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from automate_core.revealed import note_revealed, revealed_secrets
from automate_core.secrets import InvalidSecretRef, SecretRef, collect_secrets, resolve

PASTED = "sk_live_51HxPastedByMistake"


@pytest.mark.parametrize(
    "ref", ["$secret:API_KEY", "$env:DATABASE_URL", "$vault:secret/api", "$vault:kv/team/api#token"]
)
def test_ref_accepts_the_documented_formats(ref: str) -> None:
    made = SecretRef(ref)
    assert made == ref
    assert f"${made.scheme}:{made.path}" == ref
    assert repr(made) == f"SecretRef({ref!r})"


@pytest.mark.parametrize(
    "ref", ["", "API_KEY", "secret:API_KEY", "$secret", "$secret:", "$SECRET:A", " $secret:A", "$secret:A ",
            "$secret:A\n", "$nope:A", "${secret:A}", "$secret:{{ event.x }}", None, 5, b"$secret:A"],
)  # fmt: skip
def test_ref_refuses_anything_else(ref: object) -> None:
    with pytest.raises(InvalidSecretRef):
        SecretRef(ref)  # type: ignore[arg-type]
    with pytest.raises(InvalidSecretRef):
        resolve(ref)  # type: ignore[arg-type]


def test_ref_does_not_quote_what_it_refuses() -> None:
    with pytest.raises(InvalidSecretRef) as caught:
        SecretRef(PASTED)
    assert PASTED not in str(caught.value)
    with pytest.raises(InvalidSecretRef) as caught:
        SecretRef(f"$secret:{PASTED}!")
    assert PASTED not in str(caught.value)


def test_ref_works_as_a_class_attribute() -> None:
    class MyConfig:
        api_key: SecretRef = SecretRef("$secret:API_KEY")

    assert MyConfig.api_key == "$secret:API_KEY"
    assert isinstance(MyConfig().api_key, SecretRef)


def test_ref_survives_json_pickle_and_copy() -> None:
    ref = SecretRef("$secret:API_KEY")
    assert json.dumps({"k": ref}) == '{"k": "$secret:API_KEY"}'
    assert orjson.dumps([ref]) == b'["$secret:API_KEY"]'
    for again in (pickle.loads(pickle.dumps(ref)), copy.deepcopy(ref)):
        assert (type(again), again) == (SecretRef, ref)


class Plain(BaseModel):
    api_key: SecretRef


class Arbitrary(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    api_key: SecretRef


class Defaulted(BaseModel):
    api_key: SecretRef = SecretRef("$secret:API_KEY")
    spare: SecretRef | None = None


@pytest.mark.parametrize("model", [Plain, Arbitrary, Defaulted])
def test_pydantic_field_accepts_text_and_refs(model: type[BaseModel]) -> None:
    for given in ("$env:TOKEN", SecretRef("$env:TOKEN")):
        made = model(api_key=given)
        assert (type(made.api_key), made.api_key) == (SecretRef, "$env:TOKEN")  # type: ignore[attr-defined]
    assert model.model_validate_json('{"api_key": "$env:TOKEN"}').api_key == "$env:TOKEN"  # type: ignore[attr-defined]


def test_pydantic_class_config_of_the_documentation_works() -> None:
    with pytest.warns(DeprecationWarning, match="class-based `config`"):

        class ConnectorConfig(BaseModel):
            api_key: SecretRef

            class Config:
                arbitrary_types_allowed = True

    assert ConnectorConfig(api_key="$secret:API_KEY").api_key == "$secret:API_KEY"  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [Plain, Arbitrary, Defaulted])
@pytest.mark.parametrize("given", [PASTED, {"password": PASTED}, None, 7, [PASTED]])
def test_pydantic_field_refuses_without_showing_the_input(model: type[BaseModel], given: object) -> None:
    with pytest.raises(ValidationError) as caught:
        model(api_key=given)
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [
        (("api_key",), "secret_ref")
    ]
    assert PASTED not in str(caught.value)
    assert PASTED not in repr(caught.value.errors())


def test_pydantic_field_dumps_as_text() -> None:
    made = Defaulted()
    assert made.model_dump() == {"api_key": "$secret:API_KEY", "spare": None}
    assert made.model_dump_json() == '{"api_key":"$secret:API_KEY","spare":null}'
    assert Plain.model_json_schema()["properties"]["api_key"] == {
        "title": "Api Key",
        "type": "string",
        "format": "secret-ref",
        "pattern": r"^\$[a-z][a-z0-9_]*:\S+$",
    }


def test_collect_secrets_nests() -> None:
    with collect_secrets() as outer:
        note_revealed("one")
        with collect_secrets() as inner:
            note_revealed("two")
            note_revealed("two")
            assert revealed_secrets() == ("one", "two")
        assert (outer, inner) == (["one", "two"], ["two"])
    note_revealed("three")
    assert (outer, revealed_secrets()) == (["one", "two"], ())


def test_collect_secrets_sees_threads_that_share_its_context() -> None:
    with collect_secrets() as seen:
        context = copy_context()
        thread = threading.Thread(target=context.run, args=(note_revealed, "from a thread"))
        thread.start()
        thread.join()
        stranger = threading.Thread(target=note_revealed, args=("from elsewhere",))
        stranger.start()
        stranger.join()
    assert seen == ["from a thread"]
