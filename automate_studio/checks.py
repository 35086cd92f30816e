"""System checks: every node type can be shown on the canvas."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Warning, register

from automate_studio.canvas import node_types


@register()
def check_node_types(**_: Any) -> list[CheckMessage]:
    """Warn of types the canvas cannot show: their config_schema, label or routes are not what they should be."""
    described = [node_types.describe(handler) for handler in node_types.every_type()]
    return [
        Warning(f"The node type {one['type']!r}: {one['error']}", id="automate_studio.W001")
        for one in described
        if "error" in one
    ]
