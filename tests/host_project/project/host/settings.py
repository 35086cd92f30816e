"""A host project's settings: its own user model and apps, and the least of ours."""

import json
import os

SECRET_KEY = "host-project-key-of-no-value-0123456789-abcdefghij"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "people.User"
DATABASES = {
    "default": {"ENGINE": "django.db.backends.postgresql", **json.loads(os.environ["HOST_DATABASE"])}
}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "people",
    "shop",
    *os.environ.get("HOST_APPS", "automate_core automate_connectors automate").split(),
]
if "automate_api" in INSTALLED_APPS:
    from automate_api import defaults

    MIDDLEWARE = [*defaults.MIDDLEWARE_FIRST]
