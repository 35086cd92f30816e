"""The `AUTOMATE_API` setting: the dictionary first, then the flat `AUTOMATE_API_<NAME>`, then a default."""

from __future__ import annotations

from typing import Any

from django.conf import settings

DEFAULTS: dict[str, Any] = {
    "PAGE_SIZE": 25,
    "MAX_PAGE_SIZE": 100,
    "COUNT_LIMIT": 10_000,
    "CORS_ORIGINS": (),
    "URL_PREFIXES": ("/api/",),
    "TRUSTED_PROXIES": 0,
    "RATE_STORAGE": None,
    "RATE_STANDARD": "120/minute",
    "RATE_DATACHAT": "30/minute",
    "RATE_RAG": "60/minute",
    "RATE_EMBED": "60/minute",
    "RATE_WEBHOOK": "6000/minute",
    "RATE_LOGIN_FAILURES": "10/minute",
}
"""Names this package reads. RATE_* are `count/unit`; TRUSTED_PROXIES counts proxies that append to
X-Forwarded-For; RATE_STORAGE is a URL of the `limits` library (REDIS_URL, else this process, when None)."""

_ABSENT = object()


def setting(name: str, default: Any = None) -> Any:
    """Return the API setting `name` (without prefix), or `default` when neither form of it is set."""
    given = getattr(settings, "AUTOMATE_API", {})
    if name in given:
        return given[name]
    flat = getattr(settings, f"AUTOMATE_API_{name}", _ABSENT)
    if flat is not _ABSENT:
        return flat
    return DEFAULTS.get(name) if default is None else default
