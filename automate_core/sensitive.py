"""What gives a secret away: the names of keys it is stored under, and shapes it has in text."""

from __future__ import annotations

import re

REDACTED = "***REDACTED***"

_SENSITIVE_ENDINGS = (
    "password", "passwords", "passwd", "passphrase", "pwd", "secret", "secrets", "token", "apikey", "apikeys",
    "authorization", "cookie", "cookies", "credential", "credentials", "signature", "privatekey", "accesskey",
    "secretkey", "signingkey", "encryptionkey", "bearer", "otp", "cvv", "cvc",
)  # fmt: skip
_SENSITIVE_PAIRS = frozenset(
    f"{first} {second}"
    for first in ("api", "private", "access", "secret", "signing", "encryption", "account", "auth", "master",
                  "shared", "service", "subscription", "license", "ssh", "webhook")
    for second in ("key", "keys")
) | {"access tokens", "refresh tokens", "api tokens", "auth tokens", "basic auth"}  # fmt: skip
_POSITION_TOKENS = frozenset({"page token", "continuation token", "cursor token", "sync token"})
_QUALIFIERS = frozenset(
    {"hash", "value", "text", "plain", "confirm", "confirmation", "repeat", "again", "base64"}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_QUERY_KEY = r"(?:[\w.-]*(?:password|passwd|secret|token|api_?key|signature|credential)|pwd|sig|access_?key)"
# "Basic" and "bearer" also begin ordinary phrases, so there the rest must look like a credential.
_AUTHORIZATION = re.compile(
    r"\b((?:(?i:authorization)[\"']?\s{0,9}[:=]\s{0,9}[\"']?(?!(?:\w{1,40}\s+)?\*\*\*)(?:\w{1,40}\s+)?)|(?:Bearer|BEARER)\s+"
    r"|(?i:bearer|basic)\s+(?=\S{6})(?=[0-9+/]|[A-Za-z][a-z]*[A-Z0-9+/=_~]|\S{24}))(?!\*\*\*)[A-Za-z0-9._~+/=:-]{3,}"
)
_URL_USER = re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/?#@\"'<>]+@", re.IGNORECASE)
_QUERY = re.compile(rf"([?&;]{_QUERY_KEY}=)(?!\*\*\*)[^&#\s\"'<>;]+", re.IGNORECASE)
_FORM = re.compile(rf"\A({_QUERY_KEY}=)(?!\*\*\*)[^&#\s]+", re.IGNORECASE)
# A value inside JSON text ends at the first quote escaped as often as the one that opened it.
_JSON_TEXT = re.compile(
    r"(\"([\w.-]{1,64})\\{0,7}\"\s{0,9}:\s{0,9})(\\{0,7}\")(?!\*\*\*)(.{1,9999}?)(?<!\\)(\3)", re.DOTALL
)
_PEM = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*")
# Our own one-time links and API keys say what they are, wherever they turn up.
_LINK_TOKEN = re.compile(r"(rsm|apl)_[A-Za-z0-9_-]{43,400}")
_API_KEY = re.compile(r"ak_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")
_REFERENCE = re.compile(r"\$(?:secret|env|vault):[\w./#-]{1,200}")
_JSON_HINTS = (
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "auth",
    "cookie",
    "cred",
    "signature",
    "bearer",
    "otp",
    "cv",
)


def is_reference(text: str) -> bool:
    """Tell whether a text refers to a secret (`$secret:NAME`) instead of holding one."""
    return text.startswith("$") and _REFERENCE.fullmatch(text) is not None


def names_secret(key: str) -> bool:
    """Tell whether the words of a key say that its value is a secret: `apiKey` does, `token_count` not."""
    words = [word.lower() for word in _WORD.findall(key)]
    while len(words) > 1 and (words[-1].isdigit() or words[-1] in _QUALIFIERS):
        words.pop()
    if not words:
        return False
    tail = " ".join(words[-2:])
    if tail in _POSITION_TOKENS:
        return False
    return words[-1].endswith(_SENSITIVE_ENDINGS) or tail in _SENSITIVE_PAIRS


def without_evident(text: str) -> str:
    """Return `text` with the secrets that show themselves replaced, or `text` itself."""
    # Substring tests cost a fraction of a regular expression, and most text has none of these.
    if "rsm_" in text or "apl_" in text:
        text = _LINK_TOKEN.sub(REDACTED, text)
    if "ak_" in text:
        text = _API_KEY.sub(REDACTED, text)
    if not (" " in text or "=" in text or "@" in text or '"' in text or "eyJ" in text):
        return text
    if "earer" in text or "asic" in text or "EARER" in text or "ASIC" in text or "uthorization" in text:
        text = _AUTHORIZATION.sub(rf"\1{REDACTED}", text)
    if "@" in text and "://" in text:
        text = _URL_USER.sub(rf"\1{REDACTED}@", text)
    if "=" in text:
        text = _QUERY.sub(rf"\1{REDACTED}", text)
        text = _FORM.sub(rf"\1{REDACTED}", text)
    if '"' in text and ":" in text:
        lowered = text.lower()
        if any(hint in lowered for hint in _JSON_HINTS):
            replaced = _JSON_TEXT.sub(_json_pair, text)
            text = text if replaced == text else replaced
    if "PRIVATE KEY-----" in text:
        text = _PEM.sub(REDACTED, text)
    if "eyJ" in text:
        text = _JWT.sub(REDACTED, text)
    return text


def _json_pair(match: re.Match[str]) -> str:
    lead, key, opening, value, closing = match.groups()
    if not names_secret(key) or is_reference(value):
        return match[0]
    return f"{lead}{opening}{REDACTED}{closing}"
