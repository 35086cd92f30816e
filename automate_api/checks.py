"""System checks: limits that can be read, a proxy count that is one, the middleware in its place."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from limits import parse

from automate_api import conf, defaults


@register
def check_api_settings(**_: Any) -> list[CheckMessage]:
    """Refuse rates and counts that would only fail at the first request."""
    found: list[CheckMessage] = []
    for name in (name for name in conf.DEFAULTS if name.startswith("RATE_") and name != "RATE_STORAGE"):
        try:
            parse(conf.setting(name))
        except (ValueError, TypeError):
            message = f"AUTOMATE_API[{name!r}] must be like '120/minute', not {conf.setting(name)!r}"
            found.append(Error(message, id="automate_api.E001"))
    for name, least in (("TRUSTED_PROXIES", 0), ("PAGE_SIZE", 1), ("MAX_PAGE_SIZE", 1), ("COUNT_LIMIT", 1)):
        value = conf.setting(name)
        if not isinstance(value, int) or value < least:
            message = f"AUTOMATE_API[{name!r}] must be a whole number of at least {least}, not {value!r}"
            found.append(Error(message, id="automate_api.E002"))
    for prefix in conf.setting("URL_PREFIXES"):
        if not (isinstance(prefix, str) and prefix.startswith("/") and prefix.endswith("/")):
            message = f"AUTOMATE_API['URL_PREFIXES'] must be paths like '/api/', not {prefix!r}"
            found.append(Error(message, id="automate_api.E003"))
    return found


@register
def check_blacklist(**_: Any) -> list[CheckMessage]:
    """Say that refresh tokens stay good after use when nothing remembers the spent ones."""
    if apps.is_installed("rest_framework_simplejwt.token_blacklist"):
        return []
    return [
        Warning(
            "rest_framework_simplejwt.token_blacklist is not installed: a refresh token can be used again",
            hint="Add it to INSTALLED_APPS and migrate.",
            id="automate_api.W002",
        )
    ]


@register
def check_middleware(**_: Any) -> list[CheckMessage]:
    """Say which of our middleware is missing, and what that costs."""
    return [
        Warning(
            f"{path} is not in MIDDLEWARE: trace ids, body limits and rate headers will be missing",
            hint="Put automate_api.defaults.MIDDLEWARE_FIRST before every other middleware.",
            id="automate_api.W001",
        )
        for path in defaults.MIDDLEWARE_FIRST
        if path not in settings.MIDDLEWARE
    ]
