"""Settings for a server: everything that matters is given, nothing is made up."""

from __future__ import annotations

from config import database, environment

environment.required("SECRET_KEY", "production needs a secret of its own, the same for every process")
environment.required("ALLOWED_HOSTS", "the host names this site answers to, separated by commas")

from config.settings.base import *  # noqa: E402

DATABASES = {
    "default": database.from_url(
        environment.required("DATABASE_URL", "postgresql://user:password@host:5432/name"), pool=DATABASE_POOL
    )
}

# A proxy in front ends TLS; these make browsers keep to it.
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
if environment.text("SECURE_PROXY_SSL_HEADER"):
    SECURE_PROXY_SSL_HEADER = (environment.text("SECURE_PROXY_SSL_HEADER"), "https")
