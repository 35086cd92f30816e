"""The orchestrator API: workflows as a canvas sees them, and the types of nodes there are."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from automate.api.services import WorkflowService
from automate.models import Automation
from automate_api.v1.base import BaseAPIView
from automate_studio.canvas import canvas, node_actions, node_types, production_actions, serializers
from automate_studio.canvas.bodies import valid


class CanvasWorkflowViewSet(
    production_actions.ProductionActions, node_actions.NodeActions, node_actions.ConnectionActions
):
    """Workflows as they are drawn: the same rows as under /api/automate/workflows/."""

    queryset = Automation.all_tenants.select_related("live_version")
    serializer_class = serializers.WorkflowDetailSerializer
    pagination_class = None  # type: ignore[assignment]
    api_scope = "workflows"
    unique_keys = True
    required_roles = {**production_actions.ROLES, **node_actions.ROLES}

    @extend_schema(responses=serializers.WorkflowRowSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List all workflows, newest first."""
        ordered = self.get_queryset().order_by("-created_at", "-id")
        return Response(serializers.workflow_rows(ordered))

    @extend_schema(
        request=serializers.WorkflowBodySerializer, responses={201: serializers.WorkflowRowSerializer}
    )
    def create(self, request: Request) -> Response:
        """Create a workflow with nothing drawn yet."""
        made = self._service().create(**valid(serializers.WorkflowBodySerializer, request))
        return Response(serializers.WorkflowRowSerializer(made).data, status=201)

    @extend_schema(responses=serializers.WorkflowDetailSerializer)
    def retrieve(self, request: Request, pk: str | None = None) -> Response:
        """Read a workflow."""
        return Response(serializers.WorkflowDetailSerializer(self.get_object()).data)

    @extend_schema(
        request=serializers.WorkflowBodySerializer, responses=serializers.WorkflowUpdatedSerializer
    )
    def update(self, request: Request, pk: str | None = None) -> Response:
        """Change the fields that are given."""
        automation = self.get_object()
        fields = valid(serializers.WorkflowBodySerializer, request, partial=True)
        return Response(
            serializers.WorkflowUpdatedSerializer(self._service().update(automation, **fields)).data
        )

    @extend_schema(
        request=serializers.WorkflowBodySerializer, responses=serializers.WorkflowUpdatedSerializer
    )
    def partial_update(self, request: Request, pk: str | None = None) -> Response:
        """Change the fields that are given, as PUT does."""
        return self.update(request, pk)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str | None = None) -> Response:
        """Delete a workflow with its versions and executions."""
        self._service().delete(self.get_object())
        return Response(status=204)

    @extend_schema(responses=serializers.CanvasSerializer)
    @action(detail=True, methods=["get"])
    def canvas_data(self, request: Request, pk: str | None = None) -> Response:
        """Read what is drawn, with everything known of each node."""
        return Response(canvas.canvas_data(self.get_object()))

    def _service(self) -> WorkflowService:
        return WorkflowService(self.principal)


class NodeTypesView(BaseAPIView):
    """The types of nodes people can choose from."""

    api_scope = "workflows"

    @extend_schema(responses=serializers.NodeTypeSerializer(many=True))
    def get(self, request: Request) -> Response:
        """List every registered step and connector action, with its form."""
        return Response([node_types.describe(handler) for handler in node_types.every_type()])


class NodeTypeView(BaseAPIView):
    """One type of node."""

    api_scope = "workflows"

    @extend_schema(responses=serializers.NodeTypeSerializer)
    def get(self, request: Request, type: str) -> Response:
        """Read a type with its form, in any of its spellings."""
        return Response(node_types.describe_type(type))
