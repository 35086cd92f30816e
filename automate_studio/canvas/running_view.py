"""The route that executes one node and saves what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from automate.models import Automation
from automate.runtime.alone import TooManyCalls
from automate_api import idempotency
from automate_api.bodies import BodySerializer
from automate_api.v1.base import BaseAPIView
from automate_core.errors import NotFound
from automate_core.models import Role
from automate_studio.canvas import running
from automate_studio.canvas.bodies import valid

HELD_SECONDS = 120.0
"""How long, at most, the key of a request is held while its node calls outside."""


class NodeExecuteSerializer(BodySerializer):
    """A node to execute, and what with."""

    node_id = serializers.CharField(max_length=200)
    form_values = serializers.DictField(
        required=False, help_text="what it is filled in with, and from now on; what is drawn when absent"
    )
    input_data = serializers.DictField(
        required=False,
        help_text="templates see it as `input`, and values under node ids as outputs; when absent, what the nodes"
        " before it gave last",
    )
    session_id = serializers.CharField(
        required=False,
        allow_null=True,
        max_length=128,
        help_text="the session to go on with, or to begin under this name; a new one when absent",
    )

    def validate_session_id(self, value: str | None) -> str | None:
        """Refuse what cannot be told apart in a log."""
        if value is not None and not value.isprintable():
            raise serializers.ValidationError("Give printable characters")
        return value


class NodeOutcomeSerializer(serializers.Serializer[Any]):
    """What came of a node."""

    success = serializers.BooleanField()
    node_id = serializers.CharField()
    node_type = serializers.CharField()
    input_data = serializers.DictField()
    form_values = serializers.DictField()
    output = serializers.DictField(
        help_text="`data`, the `route` it left by, and what it would be `waiting` for"
    )
    session_id = serializers.CharField()
    error = serializers.CharField(required=False, help_text="why it failed")
    code = serializers.CharField(required=False, help_text="error code of the failure")


class NodeExecuteView(BaseAPIView):
    """Development mode: one node of a workflow, run alone."""

    api_scope = "workflows"
    unique_keys = True
    required_roles: ClassVar[Mapping[str, Role]] = {"post": Role.EDITOR}

    @extend_schema(
        parameters=[OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)],
        request=NodeExecuteSerializer,
        responses=NodeOutcomeSerializer,
    )
    def post(self, request: Request, pk: str) -> HttpResponseBase:
        """Execute one node with a form and an input, and save all three; a node that fails is answered 200 too.

        What the node does to the world it really does. Waits are not waited for.
        """
        raw = request._request
        attempt: running.Attempt | None = None

        def begin() -> HttpResponseBase:
            nonlocal attempt
            automation = _find(pk)
            given = valid(NodeExecuteSerializer, request)
            told = running.begin(
                automation,
                given["node_id"],
                form_values=given.get("form_values"),
                input_data=given.get("input_data"),
                session_name=given.get("session_id"),
                caller=running.Caller(self.principal.id, self.principal.user, idempotency.key_of(raw)),
            )
            if isinstance(told, running.Attempt):
                attempt, told = told, told.told(running.LOST)
            return self.finalize_response(request, _uncached(told))

        answer = idempotency.run(raw, self.principal, begin, held_seconds=HELD_SECONDS)
        if attempt is not None:
            try:
                answer = self.finalize_response(request, _uncached(running.finish(attempt)))
            except TooManyCalls:
                idempotency.forget(raw, self.principal)
                raise
        if isinstance(answer, Response):
            idempotency.amend(raw, self.principal, answer)
        return answer

    def _make_idempotent(self, request: Request) -> None:
        """Leave the key to the handler: no transaction may be open while a node calls outside."""


def _uncached(told: dict[str, Any]) -> Response:
    return Response(told, headers={"Cache-Control": "no-store"})


def _find(pk: str) -> Automation:
    try:
        return Automation.objects.select_related("live_version").get(pk=UUID(pk))
    except (ValueError, Automation.DoesNotExist):
        raise NotFound(f"There is no workflow {pk!r}") from None
