"""What deliveries of each sender become, shown on real GitHub payloads and on bodies nobody should send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automate.webhooks.presets import (
    FORM_FIELD_LIMIT,
    PRESETS,
    Incoming,
    MalformedForm,
    UnknownPreset,
    decode_body,
    interpret,
)

GITHUB_PAYLOADS = sorted((Path(__file__).parents[2] / "data" / "github-webhooks").glob("*.json"))
FORM = "application/x-www-form-urlencoded"
NOW = 1_700_000_100.0
BODY_DIGEST = "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5"


def read(
    preset: str,
    body: object,
    headers: dict[str, str] | None = None,
    *,
    raw: bytes = b"body",
    now: float = NOW,
    type_header: str | None = None,
    type_field: str | None = None,
) -> Incoming:
    """Interpret a delivery to the source `shop`."""
    return interpret(
        preset,
        source="shop",
        headers=headers or {},
        body_json=body,
        raw=raw,
        now=now,
        type_header=type_header,
        type_field=type_field,
    )


@pytest.mark.parametrize("path", GITHUB_PAYLOADS, ids=lambda path: path.stem)
def test_github_takes_type_and_id_from_headers_and_keeps_the_payload(path: Path) -> None:
    payload = json.loads(path.read_text())[0]
    headers = {"x-github-event": path.stem, "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"}
    assert read("github", payload, headers) == Incoming(
        type=path.stem,
        payload=payload,
        dedupe_key="72d3162e-cc78-11e3-81ab-4c9367dc0958",
        prior_dedupe_key=None,
        challenge=None,
    )


def test_github_payloads_are_there() -> None:
    assert len(GITHUB_PAYLOADS) == 10


def test_stripe_takes_type_and_id_from_the_body() -> None:
    body = {"id": "evt_1", "object": "event", "type": "charge.succeeded", "data": {"object": {"amount": 5}}}
    assert read("stripe", body) == Incoming("charge.succeeded", body, "evt_1", None, None)


def test_slack_takes_the_inner_type_of_an_event_callback() -> None:
    body = {"type": "event_callback", "event_id": "Ev1", "event": {"type": "message", "text": "hi"}}
    assert read("slack", body) == Incoming("message", body, "Ev1", None, None)


def test_slack_takes_the_outer_type_of_other_callbacks() -> None:
    assert read("slack", {"type": "block_actions", "event": {"type": "message"}}).type == "block_actions"


def test_slack_names_a_slash_command() -> None:
    assert read("slack", {"command": "/deploy", "text": "now"}).type == "slash_command"


def test_slack_hands_out_the_challenge_of_a_verification() -> None:
    challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
    body = {"token": "t", "challenge": challenge, "type": "url_verification"}
    incoming = read("slack", body)
    assert (incoming.type, incoming.challenge) == ("url_verification", challenge)


@pytest.mark.parametrize("challenge", [None, 5, "", "x" * 1025, "a\nb"])
def test_slack_hands_out_no_challenge_that_is_not_plain_text(challenge: object) -> None:
    assert read("slack", {"challenge": challenge, "type": "url_verification"}).challenge is None


def test_challenge_is_of_no_other_type_and_no_other_preset() -> None:
    assert read("slack", {"challenge": "c", "type": "event_callback"}).challenge is None
    assert read("stripe", {"challenge": "c", "type": "url_verification"}).challenge is None


def test_standard_webhooks_takes_type_from_the_body_and_id_from_the_header() -> None:
    body = {"type": "contact.created", "timestamp": "2022-11-03T20:26:10.344522Z", "data": {"id": "c1"}}
    assert read("standard-webhooks", body, {"webhook-id": "msg_1"}) == Incoming(
        "contact.created", body, "msg_1", None, None
    )


@pytest.mark.parametrize("name", ["x-webhook-id", "idempotency-key", "x-request-id"])
def test_generic_takes_its_id_from_a_header(name: str) -> None:
    assert read("generic", {}, {name: "d-1"}).dedupe_key == "d-1"


def test_generic_prefers_the_webhook_id() -> None:
    headers = {"x-request-id": "3", "idempotency-key": "2", "x-webhook-id": "1"}
    assert read("generic", {}, headers).dedupe_key == "1"
    del headers["x-webhook-id"]
    assert read("generic", {}, headers).dedupe_key == "2"


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_envelope_gives_type_and_payload_whatever_the_preset(preset: str) -> None:
    body = {"event_type": "order.created", "data": {"order_id": "ORD-123"}, "type": "other"}
    incoming = read(preset, body, {"x-github-event": "push"}, type_field="type")
    assert (incoming.type, incoming.payload) == ("order.created", {"order_id": "ORD-123"})


def test_event_type_without_data_names_the_whole_body() -> None:
    body = {"event_type": "PAYMENT.SALE.COMPLETED", "resource": {"id": "1"}}
    incoming = read("generic", body)
    assert (incoming.type, incoming.payload) == ("PAYMENT.SALE.COMPLETED", body)


def test_data_without_a_usable_event_type_keeps_the_whole_body() -> None:
    body = {"event_type": 7, "data": {"a": 1}}
    incoming = read("generic", body)
    assert (incoming.type, incoming.payload) == ("webhook.shop", body)


@pytest.mark.parametrize("value", [None, 5, "text", [1, 2], True])
def test_payload_that_is_no_object_is_wrapped(value: object) -> None:
    assert read("generic", value).payload == {"data": value}
    assert read("generic", {"event_type": "t", "data": value}).payload == {"data": value}


def test_type_comes_from_the_configured_header_first() -> None:
    headers = {"x-kind": "from.header", "x-github-event": "push"}
    body = {"meta": {"kind": "from.field"}}
    assert read("github", body, headers, type_header="X-Kind", type_field="meta.kind").type == "from.header"


def test_type_comes_from_the_configured_field_before_the_preset() -> None:
    body = {"meta": {"kind": "from.field"}}
    incoming = read("github", body, {"x-github-event": "push"}, type_header="X-Kind", type_field="meta.kind")
    assert incoming.type == "from.field"


def test_type_comes_from_the_preset_when_the_configured_places_are_empty() -> None:
    incoming = read(
        "github", {"meta": 1}, {"x-github-event": "push"}, type_header="X-Kind", type_field="meta.kind"
    )
    assert incoming.type == "push"


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_type_falls_back_to_the_source(preset: str) -> None:
    assert read(preset, {"a": 1}).type == "webhook.shop"


@pytest.mark.parametrize("bad", ["", "  ", "x" * 256, "a\nb", "a\0b", "\ud800", 5, None, {"a": 1}, ["t"]])
def test_type_that_is_no_short_printable_text_is_passed_over(bad: object) -> None:
    assert read("stripe", {"type": bad}).type == "webhook.shop"


def test_type_may_be_as_long_as_the_limit() -> None:
    assert read("stripe", {"type": "x" * 255}).type == "x" * 255


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_delivery_without_an_id_is_known_by_its_body_for_two_buckets(preset: str) -> None:
    incoming = read(preset, {"a": 1}, now=300.0 * 7)
    assert (incoming.dedupe_key, incoming.prior_dedupe_key) == (
        f"sha256:{BODY_DIGEST}:7",
        f"sha256:{BODY_DIGEST}:6",
    )


def test_repeat_across_a_bucket_boundary_finds_the_first_under_its_prior_key() -> None:
    first = read("generic", {}, now=2099.9)
    repeat = read("generic", {}, now=2100.0)
    assert repeat.prior_dedupe_key == first.dedupe_key


def test_other_body_has_another_dedupe_key() -> None:
    assert read("generic", {}, raw=b"a").dedupe_key != read("generic", {}, raw=b"b").dedupe_key


@pytest.mark.parametrize("bad", ["x" * 256, "a\x01b"])
def test_delivery_id_that_is_no_short_printable_text_is_passed_over(bad: str) -> None:
    assert read("github", {}, {"x-github-delivery": bad}).dedupe_key.startswith(f"sha256:{BODY_DIGEST}:")


def test_interpret_names_the_known_presets() -> None:
    with pytest.raises(UnknownPreset) as caught:
        read("gitlab", {})
    assert caught.value.message == (
        "Unknown webhook preset 'gitlab'; known: generic, github, stripe, slack, standard-webhooks"
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "event", "event_type", "data", "id", "event_id", "challenge", "x"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(
    preset=st.sampled_from(sorted(PRESETS)),
    body=json_values,
    header=st.text(),
    type_field=st.none() | st.text(),
)
def test_interpret_makes_a_storable_event_of_any_json(
    preset: str, body: Any, header: str, type_field: str | None
) -> None:
    headers = dict.fromkeys(["x-github-event", "x-github-delivery", "webhook-id", "x-webhook-id"], header)
    incoming = read(preset, body, headers, type_header="X-GitHub-Event", type_field=type_field)
    assert isinstance(incoming.payload, dict)
    for text in (incoming.type, incoming.dedupe_key):
        assert 1 <= len(text) <= 255
        assert text.isprintable()


def decoded(raw: bytes, content_type: str = FORM) -> object:
    """Decode a body with the standard library's JSON parser."""
    return decode_body(content_type=content_type, raw=raw, parse_json=json.loads)


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "text/plain", ""]
)
def test_decode_body_reads_json_under_any_other_content_type(content_type: str) -> None:
    assert decoded(b'{"a": [1]}', content_type) == {"a": [1]}


@pytest.mark.parametrize("content_type", [FORM, "Application/X-WWW-Form-Urlencoded; charset=UTF-8"])
def test_decode_body_reads_the_json_in_a_payload_field(content_type: str) -> None:
    payload = {"zen": "Non-blocking is better & cheaper", "hook": {"id": 1}, "name": "é"}
    assert decoded(urlencode({"payload": json.dumps(payload)}).encode(), content_type) == payload


def test_decode_body_reads_plain_fields() -> None:
    assert decoded(b"command=%2Fdeploy&text=&user_name=Zo%C3%AB+B&tag=a&tag=b&tag=c") == {
        "command": "/deploy",
        "text": "",
        "user_name": "Zoë B",
        "tag": ["a", "b", "c"],
    }


def test_decode_body_keeps_payload_beside_other_fields_as_text() -> None:
    assert decoded(b"payload=%7B%7D&other=1") == {"payload": "{}", "other": "1"}


def test_decode_body_reads_json_labelled_as_a_form() -> None:
    assert decoded(b' {"event_type": "a&b=c", "data": 1}') == {"event_type": "a&b=c", "data": 1}


def test_decode_body_lets_the_parsers_error_through() -> None:
    with pytest.raises(json.JSONDecodeError):
        decoded(b"payload=%7B")
    with pytest.raises(json.JSONDecodeError):
        decoded(b"{", "application/json")


@pytest.mark.parametrize(
    "raw",
    [b"a=%00", b"%00=a", b"a=%ff", b"\xff=1", b"a=%ED%A0%80", b"&".join([b"a=1"] * (FORM_FIELD_LIMIT + 1))],
    ids=["nul value", "nul name", "not utf-8", "raw not utf-8", "surrogate", "too many"],
)
def test_decode_body_refuses_a_form_that_cannot_be_stored(raw: bytes) -> None:
    with pytest.raises(MalformedForm):
        decoded(raw)


@given(raw=st.binary(max_size=200))
def test_decode_body_of_any_bytes_is_fields_or_a_refusal(raw: bytes) -> None:
    try:
        value = decode_body(content_type=FORM, raw=raw, parse_json=lambda text: {"json": text})
    except MalformedForm:
        return
    assert isinstance(value, dict)
