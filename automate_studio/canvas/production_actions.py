"""The routes of production mode: start, stop, status."""

from __future__ import annotations

from django.db import connection
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.response import Response

from automate_api import filters, idempotency
from automate_api.schema import CHANGES
from automate_api.v1.base import BaseViewSet
from automate_core.errors import AccessDenied
from automate_core.models import Role
from automate_studio.canvas import production, serializers, visits
from automate_studio.canvas.bodies import valid

ROLES = {"start_execution": Role.RUNNER, "stop_execution": Role.RUNNER}
TASK_ID = OpenApiParameter(
    "task_id", OpenApiTypes.UUID, description="the newest task of the workflow when absent"
)
HELD_SECONDS = 60.0
"""How long, at most, the key of a request to stop is held while it waits for the end."""


class ProductionActions(BaseViewSet):
    """Start, stop and status of a workflow, on GET as documented and on POST for those a GET is not safe for."""

    _is_post_only = False

    @property
    def allowed_methods(self) -> list[str]:
        """The methods the route answers; of a safe request that must start nothing, the one that would."""
        if self._is_post_only:
            return ["POST"]
        methods: list[str] = super().allowed_methods
        changes_something = not ROLES.keys().isdisjoint((self.action_map or {}).values())
        # HEAD comes with GET, and must not start anything.
        return [name for name in methods if name != "HEAD" or not changes_something]

    def check_permissions(self, request: Request) -> None:
        """Check the role; a GET that starts or stops something needs the scope of a change, and to be meant."""
        super().check_permissions(request)
        if self.action not in ROLES or request.method == "POST":
            return
        if not visits.is_meant(request, allowed_origin=self._allowed_origin(request._request)):
            self._is_post_only = True
            self.headers = self.default_response_headers
            raise MethodNotAllowed(request.method or "")
        key = self.principal.key
        if key is not None and key.scopes and f"{self.api_scope}:write" not in key.scopes:
            raise AccessDenied("The scopes of this API key do not cover this request")
        idempotency.mark_as_mutation(request._request)

    @extend_schema(
        methods=["GET"], request=None, responses=serializers.TaskSerializer, extensions={CHANGES: True}
    )
    @extend_schema(
        methods=["POST"], request=serializers.StartSerializer, responses=serializers.TaskSerializer
    )
    @action(detail=True, methods=["get", "post"])
    def start_execution(self, request: Request, pk: str | None = None) -> Response:
        """Start what is drawn. A session cookie needs POST; so does a page of another site."""
        automation = self.get_object()
        given = valid(serializers.StartSerializer, request) if request.method == "POST" else {}
        execution = production.start(
            automation,
            given.get("input", {}),
            by=self.principal.id,
            user=self.principal.user,
            attempts=given.get("max_attempts", production.ATTEMPTS),
        )
        return _uncached(Response(production.task(execution)))

    @extend_schema(
        methods=["GET"],
        parameters=[TASK_ID],
        request=None,
        responses=serializers.TaskSerializer,
        extensions={CHANGES: True},
    )
    @extend_schema(methods=["POST"], parameters=[TASK_ID], request=None, responses=serializers.TaskSerializer)
    @action(detail=True, methods=["get", "post"])
    def stop_execution(self, request: Request, pk: str | None = None) -> HttpResponseBase:
        """Stop what runs and wait up to 5 seconds for its end; the status is the one it then has."""
        automation = self.get_object()
        task_id = filters.uuid(request.query_params, "task_id")
        stopped = None

        def order() -> HttpResponseBase:
            nonlocal stopped
            stopped = production.stop(automation, by=self.principal.id, task_id=task_id)
            return self.finalize_response(request, _uncached(Response(production.task(stopped))))

        answer = idempotency.run(request._request, self.principal, order, held_seconds=HELD_SECONDS)
        # Inside a transaction nobody else sees the order yet: there is nothing to wait for.
        if stopped is None or connection.in_atomic_block:
            return answer
        ended = _uncached(Response(production.task(production.wait(stopped))))
        self.finalize_response(request, ended)
        idempotency.amend(request._request, self.principal, ended)
        return ended

    @extend_schema(parameters=[TASK_ID], responses=serializers.TaskSerializer)
    @action(detail=True, methods=["get"])
    def task_status(self, request: Request, pk: str | None = None) -> Response:
        """Tell how the newest execution goes."""
        task_id = filters.uuid(request.query_params, "task_id")
        return Response(production.task(production.find_task(self.get_object(), task_id)))

    def _make_idempotent(self, request: Request) -> None:
        """Leave the key of a request to stop to its handler: inside a transaction no worker would see the order."""
        if self.action != "stop_execution":
            super()._make_idempotent(request)


def _uncached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
