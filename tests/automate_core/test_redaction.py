"""Redaction: what is hidden, what is left alone, and that the result can be stored."""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote, quote_plus, urlencode
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automate_core.redaction import CYCLE, TOO_DEEP, Redactor, is_sensitive_key, redact, redact_text

HIDDEN = "***REDACTED***"
SECRET = 'pä"ss/w+rd?\\x y&z~ü'


@pytest.mark.parametrize(
    "key",
    ["password", "new_password", "password2", "passwordHash", "dbpassword", "secret", "client_secret",
     "clientSecret", "SECRET_KEY", "token", "access_token", "accessToken",
     "refresh-token",
     "api_key", "apiKey", "APIKey", "apikey", "X-API-Key", "authorization", "Proxy-Authorization", "cookie",
     "Set-Cookie", "private_key", "access_key", "credentials", "signature", "csrfmiddlewaretoken",
     "X-Hub-Signature-256", "Stripe-Signature", "signing_key", "pwd", "passphrase", "sessionToken"],
)  # fmt: skip
def test_redact_hides_values_of_sensitive_keys(key: str) -> None:
    assert is_sensitive_key(key)
    assert redact({key: "v"}) == {key: HIDDEN}
    assert redact([{"a": {key: {"nested": 1}}}]) == [{"a": {key: HIDDEN}}]
    assert redact({key: 123456}) == {key: HIDDEN}


@pytest.mark.parametrize(
    "key",
    ["token_count", "tokens_used", "max_tokens", "total_tokens", "secretary", "secret_name", "compass",
     "cookie_policy", "author", "authorized", "key", "idempotency_key", "primary_key", "node_key",
     "public_key", "keyboard", "signature_valid", "next_page_token", "token_type", "monkey",
     "accessory", "sort_key", "", "123"],
)  # fmt: skip
def test_redact_leaves_values_of_ordinary_keys(key: str) -> None:
    value = {key: "some value"}
    assert redact(value) is value


def test_redact_keeps_what_tells_nothing() -> None:
    value = {
        "password": None,
        "token": "",
        "secret": True,
        "api_key": "$secret:STRIPE",
        "credentials": HIDDEN,
    }
    assert redact(value) is value


def test_redact_returns_the_same_object_when_nothing_is_hidden() -> None:
    value = {"order": {"id": "ORD-1", "lines": [{"sku": "a", "n": 2, "price": 1.5}], "paid": None, "é": "ü"}}
    assert redact(value, ["unrelated-secret"]) is value


def test_redact_copies_only_what_changes_and_leaves_its_input_alone() -> None:
    value = {"kept": {"a": [1]}, "login": {"user": "u", "password": "p"}}
    result = redact(value)
    assert result == {"kept": {"a": [1]}, "login": {"user": "u", "password": HIDDEN}}
    assert result["kept"] is value["kept"]
    assert value["login"]["password"] == "p"


def _encodings(secret: str) -> list[str]:
    raw = secret.encode()
    forms = [secret, quote(secret), quote(secret, safe=""), quote_plus(secret),
             quote(secret, safe="").lower(), json.dumps(secret), json.dumps(secret, ensure_ascii=False),
             urlencode({"q": secret}),
             json.dumps(json.dumps(secret, ensure_ascii=False))]  # fmt: skip
    for before in (b"", b"u", b"u:", b"u:x", b"user:"):
        for after in (b"", b"a", b"ab", b"abc"):
            forms.append(base64.b64encode(before + raw + after).decode())
            forms.append(base64.urlsafe_b64encode(before + raw + after).decode())
    return forms


def test_redact_hides_a_known_secret_in_every_encoding() -> None:
    for form in _encodings(SECRET):
        text = f"before {form} after"
        result = redact({"text": text}, [SECRET])["text"]
        assert HIDDEN in result, form
        assert form not in result
        assert result.startswith("before ")
        assert result.endswith(" after")


@settings(max_examples=60, deadline=None)
@given(
    st.binary(min_size=0, max_size=7),
    st.text("abcdefXYZ0189-_+/", min_size=8, max_size=24),
    st.binary(max_size=7),
)
def test_redact_leaves_no_decodable_secret_in_base64(before: bytes, secret: str, after: bytes) -> None:
    packed = base64.b64encode(before + secret.encode() + after).decode()
    result = redact_text(packed, [secret])
    assert HIDDEN in result
    # What is left encodes the neighbours, and at most one character on each side shared with the secret.
    left = len(result.replace(HIDDEN, "").rstrip("="))
    assert left <= -(-len(before) * 8 // 6) - (-len(after) * 8 // 6) + 2


def test_redact_hides_a_known_secret_in_keys() -> None:
    assert redact({"x-hunter22-y": 1, 5: "hunter22"}, ["hunter22"]) == {f"x-{HIDDEN}-y": 1, "5": HIDDEN}


def test_redact_does_not_search_for_very_short_secrets() -> None:
    assert redact({"text": "an abc here"}, ["abc", ""]) == {"text": "an abc here"}


def test_redact_hides_the_longer_of_two_overlapping_secrets() -> None:
    assert redact_text("x hunter22-long y", ["hunter22", "hunter22-long"]) == f"x {HIDDEN} y"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc.def-1", f"Authorization: Bearer {HIDDEN}"),
        ("authorization=Token 12345", f"authorization=Token {HIDDEN}"),
        ("sent Bearer xyz and left", f"sent Bearer {HIDDEN} and left"),
        ("Basic dXNlcjpwYXNz", f"Basic {HIDDEN}"),
        ("postgres://user:pass@db/name", f"postgres://{HIDDEN}@db/name"),
        ("see https://u:p@a.example/x and b@c.example", f"see https://{HIDDEN}@a.example/x and b@c.example"),
        ("GET /x?access_token=abc&b=1", f"GET /x?access_token={HIDDEN}&b=1"),
        ("https://x.example/?a=1&api_key=k#f", f"https://x.example/?a=1&api_key={HIDDEN}#f"),
        ("password=hunter2&user=u", f"password={HIDDEN}&user=u"),
        ('{"password": "a\\"b", "n": "x"}', f'{{"password": "{HIDDEN}", "n": "x"}}'),
        ('{\\"apiKey\\":\\"zz\\"}', f'{{\\"apiKey\\":\\"{HIDDEN}\\"}}'),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\n", f"{HIDDEN}\n"),
        ("jwt eyJhbGciOi.eyJzdWIiOi.c2ln end", f"jwt {HIDDEN} end"),
    ],
)
def test_redact_text_hides_secrets_that_show_themselves(text: str, expected: str) -> None:
    assert redact_text(text) == expected
    assert redact_text(expected) == expected


@pytest.mark.parametrize(
    "text",
    ["basic understanding of things", "a bearer of news", "Basic Instinct", "mail a@b.example", "x = y @ z",
     "https://a.example/?q=1&page_size=2", '{"max_tokens": "5", "author": "x"}', "http://a.example/@user"],
)  # fmt: skip
def test_redact_text_leaves_ordinary_text(text: str) -> None:
    assert redact_text(text) is text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\0b", "a\ufffdb"),
        ("a\ud800b\udfff", "a\ufffdb\ufffd"),
        ("ok \U0001f600", "ok \U0001f600"),
        ({"k\0": 1}, {"k\ufffd": 1}),
        ([float("nan"), float("inf"), -float("inf"), 1.5], [None, None, None, 1.5]),
        ({"n": 2**64, "m": -(2**63), "o": 2**64 - 1}, {"n": str(2**64), "m": -(2**63), "o": 2**64 - 1}),
        ((1, (2,)), [1, [2]]),
        ({7: "a", None: "b", True: "c", 2.5: "d"}, {"7": "a", "true": "c", "null": "b", "2.5": "d"}),
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00+00:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (b"a\xff", "a\ufffd"),
        (OrderedDict(password="p", a=(1,)), {"password": HIDDEN, "a": [1]}),
    ],
)
def test_redact_returns_what_jsonb_can_store(value: Any, expected: Any) -> None:
    assert redact(value) == expected
    orjson.dumps(redact(value))


def test_redact_cuts_cycles_and_bottomless_nesting() -> None:
    wide: list[Any] = []
    wide.extend([wide, wide])
    looped: dict[str, Any] = {"password": "p"}
    looped["self"] = looped
    assert CYCLE in str(redact(wide))
    assert CYCLE in str(redact(looped))
    assert "'p'" not in str(redact(looped))
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert TOO_DEEP in str(redact(deep))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(_JSON)
def test_redact_is_idempotent_and_always_storable(value: Any) -> None:
    once = redact(value)
    assert redact(once) is once
    assert b"\\u0000" not in orjson.dumps(once)


def test_hostile_text_takes_linear_time() -> None:
    redactor = Redactor()
    for unit in (
        '"',
        "&",
        "?a",
        "\\",
        '"a":',
        '"token":',
        "authorization: ",
        "Basic a",
        "eyJa.",
        "a://",
        '"a":\\"b',
        " ",
    ):
        for tail in ("=", "@", '":', "://"):
            redactor.redact(unit * (300_000 // len(unit)) + tail)
