"""The ASGI application of the standalone project."""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

from django.core.asgi import get_asgi_application

from automate_api.asgi import limit_body
from automate_core.telemetry import configure

application = limit_body(get_asgi_application())
configure("automate-web")
