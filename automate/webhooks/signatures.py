"""Who sent this delivery: checks a webhook's signature against the secrets of its source."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets as randomness
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from automate_core.errors import AutomateError, ErrorCodes, ValidationFailed

TOLERANCE_SECONDS = 300
"""How far the timestamp of a timestamped scheme may be from our clock, either way."""

HEADER_LIMIT = 4096
"""Longest signature header read, in characters; every scheme needs less than 1,000."""

_SHA256_HEX = re.compile(r"sha256=([0-9a-fA-F]{64})")
_SLACK = re.compile(r"v0=([0-9a-fA-F]{64})")
_HEX_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_STANDARD = re.compile(r"v1,([A-Za-z0-9+/]{43}=)")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_MESSAGE_ID = re.compile(r"[!-~]{1,255}")
_STANDARD_SECRET_PREFIX = b"whsec_"

# Stands in for the secrets a source does not have: refusing it costs the same digest as a wrong signature.
_NOBODYS_KEY = randomness.token_bytes(32)


class SignatureRefused(AutomateError):
    """The webhook's signature was not accepted; sign the raw body with a current secret of this source."""

    code = ErrorCodes.UNAUTHORIZED

    def __init__(self, cause: str) -> None:
        """Keep the cause for the operator's log; the message is the same for every cause.

        Args:
            cause: what was wrong, in a few words, never with values from the request.
        """
        super().__init__()
        self.cause = cause


class UnusableSecret(ValidationFailed):
    """The webhook secret cannot be used with this preset."""


class Claim(NamedTuple):
    """What a sender claims: the bytes it signed and the digests it offers for them."""

    signed: bytes
    digests: Sequence[bytes]


def verify(
    preset: str,
    *,
    secrets: Sequence[bytes],
    headers: Mapping[str, str],
    body: bytes,
    now: float,
) -> None:
    """Accept a delivery whose signature one of the secrets made; raise SignatureRefused for any other.

    Digests are compared in constant time, and every secret is tried whichever matches. A source without
    a secret is refused after the same work as a wrong signature; call with `secrets=()` for an unknown one.

    Args:
        preset: name of the scheme, one of `SCHEMES`.
        secrets: current secret first; two while one replaces the other. Empty ones count as absent.
        headers: the request's headers by lower-case name. A header sent twice arrives joined by a comma
            and is refused.
        body: the body exactly as received.
        now: seconds since the epoch; timestamped schemes must be within TOLERANCE_SECONDS of it.
    """
    scheme = SCHEMES.get(preset)
    if scheme is None:
        raise SignatureRefused("unknown preset")
    claim = scheme(headers, body, now)
    keys = _keys(preset, secrets)
    accepted = False
    for key in keys or [_NOBODYS_KEY]:
        digest = hmac.digest(key, claim.signed, "sha256")
        for offered in claim.digests:
            accepted |= hmac.compare_digest(digest, offered)
    if not accepted:
        raise SignatureRefused("no match" if keys else "no usable secret")


def signing_key(preset: str, secret: bytes) -> bytes:
    """Return the HMAC key a secret stands for; raise UnusableSecret when it stands for none.

    Args:
        preset: name of the scheme. All but `standard-webhooks` use the secret's bytes as they are.
        secret: the secret as the sender shows it. For `standard-webhooks` this is base64,
            with or without the prefix `whsec_`.
    """
    if preset != "standard-webhooks":
        key = secret
    else:
        try:
            key = base64.b64decode(secret.removeprefix(_STANDARD_SECRET_PREFIX), validate=True)
        except binascii.Error as error:
            raise UnusableSecret(
                "A standard-webhooks secret is 'whsec_' and base64; copy it whole from the sender"
            ) from error
    if not key:
        raise UnusableSecret("The webhook secret is empty; give the one the sender signs with")
    return key


def generic(headers: Mapping[str, str], body: bytes, now: float) -> Claim:
    """Read `X-Webhook-Signature: sha256=<hex HMAC-SHA256 of the raw body>`, the scheme of our REST API."""
    return Claim(body, [_hex(_SHA256_HEX, headers, "x-webhook-signature")])


def github(headers: Mapping[str, str], body: bytes, now: float) -> Claim:
    """Read `X-Hub-Signature-256: sha256=<hex>`; the SHA-1 header GitHub still sends is not looked at.

    Source: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    """
    return Claim(body, [_hex(_SHA256_HEX, headers, "x-hub-signature-256")])


def stripe(headers: Mapping[str, str], body: bytes, now: float) -> Claim:
    """Read `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>...]`, made over `<t>.<body>`.

    Other schemes in the header (`v0` of test mode) are ignored, as Stripe asks.
    Source: https://docs.stripe.com/webhooks#verify-manually
    """
    times: list[str] = []
    digests: list[bytes] = []
    for part in _header(headers, "stripe-signature").split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            times.append(value)
        elif name == "v1" and _HEX_DIGEST.fullmatch(value):
            digests.append(bytes.fromhex(value))
    if len(times) != 1 or not digests:
        _refuse_malformed()
    return Claim(_fresh(times[0], now) + b"." + body, digests)


def slack(headers: Mapping[str, str], body: bytes, now: float) -> Claim:
    """Read `X-Slack-Signature: v0=<hex>` and `X-Slack-Request-Timestamp`, made over `v0:<timestamp>:<body>`.

    Source: https://docs.slack.dev/authentication/verifying-requests-from-slack
    """
    digest = _hex(_SLACK, headers, "x-slack-signature")
    timestamp = _fresh(_header(headers, "x-slack-request-timestamp"), now)
    return Claim(b"v0:" + timestamp + b":" + body, [digest])


def standard_webhooks(headers: Mapping[str, str], body: bytes, now: float) -> Claim:
    """Read `webhook-id`, `webhook-timestamp` and `webhook-signature`, made over `<id>.<timestamp>.<body>`.

    The signature header lists `<version>,<base64>` separated by spaces; versions other than the symmetric
    `v1` are ignored.
    Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    message_id = _header(headers, "webhook-id")
    if not _MESSAGE_ID.fullmatch(message_id):
        _refuse_malformed()
    timestamp = _fresh(_header(headers, "webhook-timestamp"), now)
    listed = _header(headers, "webhook-signature").split(" ")
    digests = [base64.b64decode(match[1]) for entry in listed if (match := _STANDARD.fullmatch(entry))]
    if not digests:
        _refuse_malformed()
    return Claim(b"%b.%b.%b" % (message_id.encode("ascii"), timestamp, body), digests)


SCHEMES: Mapping[str, Callable[[Mapping[str, str], bytes, float], Claim]] = {
    "generic": generic,
    "github": github,
    "stripe": stripe,
    "slack": slack,
    "standard-webhooks": standard_webhooks,
}
"""How each preset reads its headers into a Claim; SignatureRefused when they are missing or malformed."""


def _keys(preset: str, secrets: Sequence[bytes]) -> list[bytes]:
    keys = []
    for secret in secrets:
        try:
            keys.append(signing_key(preset, secret))
        except UnusableSecret:
            continue
    return keys


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not value:
        raise SignatureRefused("missing header")
    if len(value) > HEADER_LIMIT:
        _refuse_malformed()
    return value


def _hex(pattern: re.Pattern[str], headers: Mapping[str, str], name: str) -> bytes:
    match = pattern.fullmatch(_header(headers, name))
    return bytes.fromhex(match[1]) if match else _refuse_malformed()


def _fresh(timestamp: str, now: float) -> bytes:
    if not _TIMESTAMP.fullmatch(timestamp):
        _refuse_malformed()
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        raise SignatureRefused("stale timestamp")
    return timestamp.encode("ascii")


def _refuse_malformed() -> NoReturn:
    raise SignatureRefused("malformed header")
