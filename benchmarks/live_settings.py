"""The standalone settings with the channel layer a run names, and room for a crowd that is one caller."""

from __future__ import annotations

import os

from config.settings.local import *  # noqa: F403

_LAYERS = {
    "memory": {"BACKEND": "channels.layers.InMemoryChannelLayer"},
    "postgres": {"BACKEND": "automate.realtime.layers.PostgresChannelLayer"},
    "redis": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [os.environ.get("BENCH_REDIS", "")]},
    },
}

CHANNEL_LAYERS = {"default": _LAYERS[os.environ.get("BENCH_LAYER", "postgres")]}
AUTOMATE["LIVE_CONNECTIONS"] = 100_000  # noqa: F405
AUTOMATE_API["RATE_STANDARD"] = "10000000/minute"  # noqa: F405
