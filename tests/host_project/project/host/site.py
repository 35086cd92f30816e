"""The host's settings with its own REST API: its authentication stays, and only some of our apps are installed."""

from host.settings import *  # noqa: F403
from host.settings import INSTALLED_APPS as ENGINE

INSTALLED_APPS = [
    *ENGINE,
    "portal",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "automate_api",
]
MIDDLEWARE = ["automate_api.middleware.TraceMiddleware", "automate_api.middleware.ApiMiddleware"]
ROOT_URLCONF = "host.urls"
ALLOWED_HOSTS = ["127.0.0.1"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.BasicAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}
AUTOMATE_API = {"URL_PREFIXES": ["/backend/", "/api/v1/"]}
AUTOMATE_API_PAGE_SIZE = 7
