"""Settings every way of running shares; the environment fills in what differs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from automate_api import defaults
from config import environment, keys

BASE_DIR = Path(__file__).resolve().parents[2]
DATA_DIR = Path(environment.text("AUTOMATE_DATA_DIR", str(BASE_DIR / ".data"))).resolve()

SECRET_KEY = environment.text("SECRET_KEY") or keys.load_or_create(DATA_DIR / "secret.key")
DEBUG = False
ALLOWED_HOSTS = list(environment.words("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]"))
CSRF_TRUSTED_ORIGINS = list(environment.words("CSRF_TRUSTED_ORIGINS"))
REDIS_URL = environment.text("REDIS_URL") or None

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "automate_core",
    "automate_api",
    "automate_connectors",
    "automate",
    "automate_modal",
    "automate_studio",
]

MIDDLEWARE = [
    *defaults.MIDDLEWARE_FIRST,
    "django.middleware.security.SecurityMiddleware",
    "config.static.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
CSRF_FAILURE_VIEW = defaults.CSRF_FAILURE_VIEW

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
# Artifacts of jobs; no route serves this directory.
MEDIA_ROOT = environment.text("AUTOMATE_MEDIA_DIR", str(DATA_DIR / "media"))
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASE_POOL = environment.whole("AUTOMATE_DB_POOL", 0)
"""Most database connections a process keeps; 0: one per request or thread."""

CACHES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
    if REDIS_URL
    else {"BACKEND": "automate.realtime.layers.PostgresChannelLayer"}
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

AUTOMATE: dict[str, object] = {
    "LEASE_SECONDS": environment.number("AUTOMATE_LEASE_SECONDS", 30.0, least=1.0),
    "HTTP_ALLOW": environment.words("AUTOMATE_HTTP_ALLOW"),
    "PUBLIC_URL": environment.text("AUTOMATE_PUBLIC_URL"),
    "CELERY_DOORBELL": bool(REDIS_URL) and environment.whole("AUTOMATE_CELERY", 0) > 0,
}
if AUTOMATE["CELERY_DOORBELL"]:
    # The tasks belong to the application that knows the broker.
    import config.celery  # noqa: F401

AUTOMATE_API: dict[str, object] = {**defaults.rates_from(os.environ)}
REST_FRAMEWORK = defaults.REST_FRAMEWORK
SPECTACULAR_SETTINGS = {
    **defaults.SPECTACULAR_SETTINGS,
    "POSTPROCESSING_HOOKS": [
        "automate.api.schema.describe_webhook",
        "automate.api.schema.add_examples",
        "automate_studio.canvas.schema.add_examples",
        *defaults.SPECTACULAR_SETTINGS["POSTPROCESSING_HOOKS"],
    ],
    "ENUM_NAME_OVERRIDES": {
        "ExecutionStatusEnum": "automate.enums.ExecutionStatus",
        "StepStatusEnum": "automate.enums.StepStatus",
        "ApprovalStatusEnum": "automate.enums.ApprovalStatus",
    },
}

LOG_FORMAT = environment.text("AUTOMATE_LOG_FORMAT", "text" if sys.stderr.isatty() else "json")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "automate_core.telemetry.JsonFormatter"},
        "text": {"()": "automate_core.telemetry.HumanFormatter"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "json" if LOG_FORMAT == "json" else "text"}
    },
    "root": {"handlers": ["stderr"], "level": environment.text("AUTOMATE_LOG_LEVEL", "INFO").upper()},
    "loggers": {
        # Django brings handlers of its own; a record would be written twice.
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
        # A line for each request or response that is no more than the access log we turned off.
        "django.request": {"level": "ERROR"},
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
    },
}

# Prometheus decides at import time how counters are kept, so it is told here, before anything imports it.
if environment.text("PROMETHEUS_MULTIPROC_DIR") and not os.path.isdir(os.environ["PROMETHEUS_MULTIPROC_DIR"]):
    os.makedirs(os.environ["PROMETHEUS_MULTIPROC_DIR"], exist_ok=True)
