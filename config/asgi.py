"""The ASGI application of the standalone project."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

from django.core.asgi import get_asgi_application

_django: Any = get_asgi_application()

# Only now are the apps loaded that these need.
from automate.api.webhooks import serve_webhooks  # noqa: E402
from automate_api.asgi import limit_body  # noqa: E402
from automate_core.telemetry import configure  # noqa: E402

application = limit_body(serve_webhooks(_django))
configure("automate-web")
