"""Standalone settings: embedded services unless the environment names others."""

from __future__ import annotations

from config.settings.base import *
