"""Reads the bodies of the orchestrator API."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request


def valid(kind: type[Any], request: Request, *, partial: bool = False) -> dict[str, Any]:
    """Return what the body says; raises ValidationError with every wrong field."""
    serializer = kind(data=request.data, partial=partial)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
