"""The ASGI application of the standalone project."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

from django.core.asgi import get_asgi_application

_django: Any = get_asgi_application()

# Only now are the apps loaded that these need.
from channels.routing import ProtocolTypeRouter  # noqa: E402

from automate.api.webhooks import serve_webhooks  # noqa: E402
from automate.realtime.routing import sockets  # noqa: E402
from automate_api.asgi import limit_body  # noqa: E402
from automate_core.telemetry import configure  # noqa: E402

application = ProtocolTypeRouter({"http": limit_body(serve_webhooks(_django)), "websocket": sockets()})
configure("automate-web")
