"""Signatures against the vectors the senders publish, and against everything else a stranger may send.

Published: GitHub "Validating webhook deliveries", Slack "Verifying requests from Slack", the Standard
Webhooks specification. Stripe and generic publish no complete vector; theirs were made with
`printf '%s' "$SIGNED" | openssl dgst -sha256 -hmac "$SECRET"`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automate.webhooks.presets import PRESETS
from automate.webhooks.signatures import (
    HEADER_LIMIT,
    SCHEMES,
    SignatureRefused,
    UnusableSecret,
    signing_key,
    verify,
)
from automate_core.errors import ErrorCodes


@dataclass(frozen=True)
class Delivery:
    """A signed request and the moment it was sent."""

    preset: str
    secret: bytes
    headers: dict[str, str]
    body: bytes
    sent_at: float = 1_700_000_000.0

    def check(self, *secrets: bytes, now: float | None = None) -> None:
        """Verify with these secrets, the right one when none is given."""
        verify(
            self.preset,
            secrets=secrets or (self.secret,),
            headers=self.headers,
            body=self.body,
            now=self.sent_at if now is None else now,
        )

    def with_headers(self, **changed: str) -> Delivery:
        """Return the delivery with some headers replaced; `_` in names stands for `-`."""
        given = {name.replace("_", "-"): value for name, value in changed.items()}
        return replace(self, headers={**self.headers, **given})


GENERIC = Delivery(
    "generic",
    b"s3cret",
    {
        "x-webhook-signature": "sha256=021d84e3af384a67ccacc918fb002703a99822c91fbd9180adf6005da4345349",
    },
    b'{"event_type": "order.created", "data": {"order_id": "ORD-123"}}',
)
GITHUB = Delivery(
    "github",
    b"It's a Secret to Everybody",
    {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
    b"Hello, World!",
)
STRIPE = Delivery(
    "stripe",
    b"whsec_test_secret",
    {
        "stripe-signature": "t=1492774577,"
        "v1=b26b308f4073c5a94ca5042d200526d7a9c25c607e09ad4fe3380bb107a50e2f,"
        "v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"
    },
    b'{"id": "evt_1", "type": "charge.succeeded"}',
    1492774577.0,
)
SLACK = Delivery(
    "slack",
    b"8f742231b10e8888abcd99yyyzzz85a5",
    {
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        "x-slack-request-timestamp": "1531420618",
    },
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
    b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
    1531420618.0,
)
STANDARD = Delivery(
    "standard-webhooks",
    b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    },
    b'{"test": 2432232314}',
    1614265330.0,
)
ALL = [GENERIC, GITHUB, STRIPE, SLACK, STANDARD]
TIMESTAMPED = [STRIPE, SLACK, STANDARD]

each = pytest.mark.parametrize("delivery", ALL, ids=lambda delivery: delivery.preset)
each_timestamped = pytest.mark.parametrize("delivery", TIMESTAMPED, ids=lambda delivery: delivery.preset)


def refusal(delivery: Delivery, *secrets: bytes, now: float | None = None) -> str:
    """Return why the delivery is refused."""
    with pytest.raises(SignatureRefused) as caught:
        delivery.check(*secrets, now=now)
    return caught.value.cause


def test_schemes_cover_every_preset() -> None:
    assert set(SCHEMES) == set(PRESETS)


@each
def test_verify_accepts_the_published_vector(delivery: Delivery) -> None:
    delivery.check()


@each
def test_verify_refuses_another_body(delivery: Delivery) -> None:
    assert refusal(replace(delivery, body=delivery.body + b" ")) == "no match"


@each
def test_verify_refuses_another_secret(delivery: Delivery) -> None:
    assert refusal(delivery, b"whsec_AAAA") == "no match"


@each
def test_verify_accepts_either_secret_during_rotation(delivery: Delivery) -> None:
    delivery.check(b"whsec_AAAA", delivery.secret)
    delivery.check(delivery.secret, b"whsec_AAAA")


@each
def test_verify_refuses_a_source_without_a_secret(delivery: Delivery) -> None:
    with pytest.raises(SignatureRefused) as caught:
        verify(
            delivery.preset,
            secrets=(),
            headers=delivery.headers,
            body=delivery.body,
            now=delivery.sent_at,
        )
    assert caught.value.cause == "no usable secret"


def test_verify_refuses_a_signature_made_with_the_empty_secret() -> None:
    digest = hmac.digest(b"", b"body", "sha256").hex()
    forged = Delivery("generic", b"", {"x-webhook-signature": f"sha256={digest}"}, b"body")
    assert refusal(forged, b"") == "no usable secret"


@each
def test_verify_refuses_each_missing_header(delivery: Delivery) -> None:
    for name in delivery.headers:
        without = {key: value for key, value in delivery.headers.items() if key != name}
        assert refusal(replace(delivery, headers=without)) == "missing header"


@each
def test_verify_refuses_each_header_sent_twice(delivery: Delivery) -> None:
    for name, value in delivery.headers.items():
        doubled = replace(delivery, headers={**delivery.headers, name: f"{value},{value}"})
        assert refusal(doubled) in {"malformed header", "no match"}


@each
def test_verify_refuses_each_header_when_absurdly_long(delivery: Delivery) -> None:
    for name, value in delivery.headers.items():
        long = value + " " * HEADER_LIMIT
        assert refusal(replace(delivery, headers={**delivery.headers, name: long})) == "malformed header"


@each
@given(junk=st.text(max_size=80), body=st.binary(max_size=40))
def test_verify_raises_nothing_but_a_refusal_for_garbage(delivery: Delivery, junk: str, body: bytes) -> None:
    for name, value in delivery.headers.items():
        for garbled in (junk, value + junk, junk + value):
            headers = {**delivery.headers, name: garbled}
            with pytest.raises(SignatureRefused):
                replace(delivery, headers=headers, body=delivery.body + b"!" + body).check()


@each_timestamped
def test_verify_accepts_a_clock_off_by_the_tolerance(delivery: Delivery) -> None:
    delivery.check(now=delivery.sent_at + 300)
    delivery.check(now=delivery.sent_at - 300)


@each_timestamped
def test_verify_refuses_a_clock_further_off(delivery: Delivery) -> None:
    assert refusal(delivery, now=delivery.sent_at + 300.5) == "stale timestamp"
    assert refusal(delivery, now=delivery.sent_at - 300.5) == "stale timestamp"


@pytest.mark.parametrize(
    "timestamp", ["1531420618.0", "-1531420618", "１５３１４２０６１８", "1e9", "9" * 5000]
)
def test_verify_refuses_a_timestamp_that_is_not_whole_seconds(timestamp: str) -> None:
    assert refusal(SLACK.with_headers(x_slack_request_timestamp=timestamp)) == "malformed header"


def test_verify_refuses_a_fresh_timestamp_under_an_old_signature() -> None:
    assert refusal(SLACK.with_headers(x_slack_request_timestamp="1531420619")) == "no match"


def test_verify_refuses_two_stripe_timestamps() -> None:
    header = STRIPE.headers["stripe-signature"]
    assert refusal(STRIPE.with_headers(stripe_signature=f"t=1492774578,{header}")) == "malformed header"


def test_verify_accepts_the_second_of_several_stripe_signatures() -> None:
    newer = "2af1dc60c95f2eefe50b103c8633394e6456ecbf550d1526210b2df9ba756aff"
    header = STRIPE.headers["stripe-signature"].replace("v1=", f"v1={newer},v1=")
    both = STRIPE.with_headers(stripe_signature=header)
    both.check(STRIPE.secret)
    both.check(b"whsec_next_secret")


def test_verify_ignores_a_right_digest_under_the_old_stripe_scheme() -> None:
    header = STRIPE.headers["stripe-signature"].split(",v0=")[0].replace("v1=", "v0=")
    assert refusal(STRIPE.with_headers(stripe_signature=header)) == "malformed header"


def test_verify_accepts_one_of_several_standard_signatures() -> None:
    right = STANDARD.headers["webhook-signature"]
    wrong = "v1," + base64.b64encode(bytes(32)).decode()
    STANDARD.with_headers(webhook_signature=f"v1a,asymmetric {wrong} {right}").check()


def test_verify_ignores_a_right_digest_under_another_standard_version() -> None:
    header = STANDARD.headers["webhook-signature"].replace("v1,", "v2,")
    assert refusal(STANDARD.with_headers(webhook_signature=header)) == "malformed header"


def test_verify_refuses_another_standard_message_id() -> None:
    assert refusal(STANDARD.with_headers(webhook_id="msg_other")) == "no match"


def test_verify_accepts_a_standard_secret_without_its_prefix() -> None:
    STANDARD.check(STANDARD.secret.removeprefix(b"whsec_"))


def test_verify_refuses_a_standard_secret_that_is_not_base64() -> None:
    assert refusal(STANDARD, b"whsec_not base64") == "no usable secret"


def test_verify_refuses_a_sha1_github_signature() -> None:
    sha1 = hmac.digest(GITHUB.secret, GITHUB.body, hashlib.sha1).hex()
    assert refusal(replace(GITHUB, headers={"x-hub-signature": f"sha1={sha1}"})) == "missing header"
    assert refusal(GITHUB.with_headers(x_hub_signature_256=f"sha1={sha1}")) == "malformed header"


def test_verify_refuses_an_unknown_preset() -> None:
    assert refusal(replace(GENERIC, preset="nobody")) == "unknown preset"


def test_refusals_look_alike_to_the_caller() -> None:
    refused = []
    for delivery, now in [
        (replace(SLACK, headers={}), SLACK.sent_at),
        (SLACK.with_headers(x_slack_signature="v0=zz"), SLACK.sent_at),
        (replace(SLACK, secret=b"other"), SLACK.sent_at),
        (SLACK, SLACK.sent_at + 3600),
    ]:
        with pytest.raises(SignatureRefused) as caught:
            delivery.check(now=now)
        refused.append(caught.value)
    assert {error.code for error in refused} == {ErrorCodes.UNAUTHORIZED}
    assert len({error.message for error in refused}) == 1
    assert len({error.cause for error in refused}) == 4
    assert [(error.details, error.extra) for error in refused] == [((), {})] * 4


def test_signing_key_decodes_a_standard_secret() -> None:
    assert signing_key("standard-webhooks", b"whsec_AAEC") == b"\x00\x01\x02"


def test_signing_key_takes_other_secrets_as_they_are() -> None:
    assert signing_key("stripe", b"whsec_AAEC") == b"whsec_AAEC"


@pytest.mark.parametrize(
    ("preset", "secret"),
    [
        ("generic", b""),
        ("standard-webhooks", b"whsec_"),
        ("standard-webhooks", b"whsec_A"),
        ("standard-webhooks", b"s3cret"),
    ],
)
def test_signing_key_refuses_what_cannot_sign(preset: str, secret: bytes) -> None:
    with pytest.raises(UnusableSecret):
        signing_key(preset, secret)
