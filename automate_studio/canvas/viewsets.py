"""The orchestrator API: workflows as a canvas sees them, production mode, nodes, connections and node types."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.response import Response

from automate import workflows
from automate.api.services import WorkflowService
from automate.drawings import drawn_graph
from automate.models import Automation
from automate_api import filters, idempotency
from automate_api.v1.base import BaseAPIView, BaseViewSet
from automate_core.errors import AccessDenied
from automate_core.models import Role
from automate_studio.canvas import canvas, graph_edit, node_types, production, records, serializers, visits

TASK_ID = OpenApiParameter(
    "task_id", OpenApiTypes.UUID, description="the newest task of the workflow when absent"
)
NODE_ID = OpenApiParameter("node_id", OpenApiTypes.STR, OpenApiParameter.PATH)
CONNECTION_ID = OpenApiParameter("connection_id", OpenApiTypes.STR, OpenApiParameter.PATH)
NODE = r"nodes/(?P<node_id>[^/]+)"
HELD_SECONDS = 60.0
"""How long, at most, the key of a request to stop is held while it waits for the end."""


class CanvasWorkflowViewSet(BaseViewSet):
    """Workflows as they are drawn: the same rows as under /api/automate/workflows/."""

    queryset = Automation.all_tenants.select_related("live_version")
    serializer_class = serializers.WorkflowDetailSerializer
    pagination_class = None  # type: ignore[assignment]
    api_scope = "workflows"
    unique_keys = True
    required_roles = {
        "start_execution": Role.RUNNER,
        "stop_execution": Role.RUNNER,
        "add_node": Role.EDITOR,
        "change_node": Role.EDITOR,
        "position": Role.EDITOR,
        "remove_node": Role.EDITOR,
        "connect": Role.EDITOR,
        "disconnect": Role.EDITOR,
    }

    _is_post_only = False

    @property
    def allowed_methods(self) -> list[str]:
        """The methods the route answers; of a safe request that must start nothing, the one that would."""
        return ["POST"] if self._is_post_only else super().allowed_methods

    def check_permissions(self, request: Request) -> None:
        """Check the role; a GET that starts or stops something needs the scope of a change, and to be meant."""
        super().check_permissions(request)
        if self.action not in ("start_execution", "stop_execution") or request.method == "POST":
            return
        if not visits.is_meant(request, allowed_origin=self._allowed_origin(request._request)):
            self._is_post_only = True
            raise MethodNotAllowed(request.method or "")
        key = self.principal.key
        if key is not None and key.scopes and f"{self.api_scope}:write" not in key.scopes:
            raise AccessDenied("The scopes of this API key do not cover this request")

    # Workflows

    @extend_schema(responses=serializers.WorkflowRowSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List all workflows, newest first."""
        rows = self.get_queryset().select_related(None).only("id", "name", "created_at")
        ordered = rows.order_by("-created_at", "-id")
        return Response(serializers.WorkflowRowSerializer(ordered, many=True).data)

    @extend_schema(
        request=serializers.WorkflowBodySerializer, responses={201: serializers.WorkflowRowSerializer}
    )
    def create(self, request: Request) -> Response:
        """Create a workflow with nothing drawn yet."""
        made = self._service().create(**_valid(serializers.WorkflowBodySerializer, request))
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
        fields = _valid(serializers.WorkflowBodySerializer, request, partial=True)
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

    # Production mode

    @extend_schema(methods=["GET"], request=None, responses=serializers.TaskSerializer)
    @extend_schema(
        methods=["POST"], request=serializers.StartSerializer, responses=serializers.TaskSerializer
    )
    @action(detail=True, methods=["get", "post"])
    def start_execution(self, request: Request, pk: str | None = None) -> Response:
        """Start what is drawn. A session cookie needs POST; so does a page of another site."""
        automation = self.get_object()
        given = _valid(serializers.StartSerializer, request) if request.method == "POST" else {}
        execution = production.start(
            automation,
            given.get("input", {}),
            by=self.principal.id,
            user=self.principal.user,
            attempts=given.get("max_attempts", production.ATTEMPTS),
        )
        return _uncached(Response(production.task(execution)))

    @extend_schema(methods=["GET"], parameters=[TASK_ID], request=None, responses=serializers.TaskSerializer)
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

    # Nodes

    @extend_schema(request=serializers.NodeAddSerializer, responses={201: serializers.NodeAddedSerializer})
    @action(detail=True, methods=["post"], url_path="nodes/add")
    def add_node(self, request: Request, pk: str | None = None) -> Response:
        """Draw a node."""
        automation = self.get_object()
        given = _valid(serializers.NodeAddSerializer, request)
        node = graph_edit.add_node(
            automation,
            node_type=given["nodeTemplate"],
            form_values=given["form_values"],
            position=given.get("position", canvas.ORIGIN),
            node_id=given.get("id"),
            label=given["label"],
            by=self.principal.id,
            user=self.principal.user,
        )
        body = {"id": node["id"], "node_type": node["type"], "position": node["position"]}
        return Response(body, status=201)

    @extend_schema(
        parameters=[NODE_ID],
        request=serializers.NodeChangeSerializer,
        responses=serializers.CanvasNodeSerializer,
    )
    @action(detail=True, methods=["patch"], url_path=NODE)
    def change_node(self, request: Request, pk: str | None = None, node_id: str = "") -> Response:
        """Fill in a node anew, or give it another label."""
        automation = self.get_object()
        given = _valid(serializers.NodeChangeSerializer, request)
        graph_edit.change_node(automation, node_id, by=self.principal.id, user=self.principal.user, **given)
        nodes = canvas.canvas_data(self.get_object())["nodes"]
        return Response(next(node for node in nodes if node["id"] == node_id))

    @extend_schema(parameters=[NODE_ID], responses=serializers.NodeInputSerializer)
    @action(detail=True, methods=["get"], url_path=f"{NODE}/input")
    def input(self, request: Request, pk: str | None = None, node_id: str = "") -> Response:
        """Read what comes from the nodes that lead to this one."""
        automation = self.get_object()
        graph = drawn_graph(automation)
        graph_edit.find_node(graph, node_id)
        return Response({"input_data": records.input_of(automation, graph, node_id)})

    @extend_schema(parameters=[NODE_ID], responses=serializers.NodeOutputSerializer)
    @action(detail=True, methods=["get"], url_path=f"{NODE}/output")
    def output(self, request: Request, pk: str | None = None, node_id: str = "") -> Response:
        """Read what a node gave last."""
        automation = self.get_object()
        graph_edit.find_node(drawn_graph(automation), node_id)
        output = records.outputs_of(automation, [node_id]).get(node_id)
        return Response({"output_data": {} if output is None else output})

    @extend_schema(
        parameters=[NODE_ID],
        request=serializers.NodePositionSerializer,
        responses=serializers.NodeMovedSerializer,
    )
    @action(detail=True, methods=["patch"], url_path=f"{NODE}/position")
    def position(self, request: Request, pk: str | None = None, node_id: str = "") -> Response:
        """Draw a node elsewhere."""
        automation = self.get_object()
        given = _valid(serializers.NodePositionSerializer, request)
        workflows.place_node(automation, node_id, given["position"], by=self.principal.id)
        return Response({"id": node_id, "position": given["position"]})

    @extend_schema(parameters=[NODE_ID], responses=serializers.MessageSerializer)
    @action(detail=True, methods=["delete"], url_path=f"{NODE}/remove")
    def remove_node(self, request: Request, pk: str | None = None, node_id: str = "") -> Response:
        """Take a node off the drawing, with its connections."""
        graph_edit.remove_node(self.get_object(), node_id, by=self.principal.id, user=self.principal.user)
        return Response({"message": "Node removed successfully"})

    # Connections

    @extend_schema(responses=serializers.ConnectionSerializer(many=True))
    @action(detail=True, methods=["get"])
    def connections(self, request: Request, pk: str | None = None) -> Response:
        """List the connections."""
        return Response([graph_edit.shown_edge(edge) for edge in drawn_graph(self.get_object())["edges"]])

    @extend_schema(
        request=serializers.ConnectionAddSerializer,
        responses={201: serializers.ConnectionSerializer, 200: serializers.ConnectionSerializer},
    )
    @action(detail=True, methods=["post"], url_path="connections/add")
    def connect(self, request: Request, pk: str | None = None) -> Response:
        """Connect two nodes: 201, or 200 when they are connected like this already."""
        automation = self.get_object()
        given = _valid(serializers.ConnectionAddSerializer, request)
        edge, is_new = graph_edit.connect(
            automation,
            given["source"],
            given["target"],
            given.get("source_handle") or None,
            by=self.principal.id,
            user=self.principal.user,
        )
        return Response(edge, status=201 if is_new else 200)

    @extend_schema(parameters=[CONNECTION_ID], responses=serializers.MessageSerializer)
    @action(detail=True, methods=["delete"], url_path=r"connections/(?P<connection_id>[^/]+)/remove")
    def disconnect(self, request: Request, pk: str | None = None, connection_id: str = "") -> Response:
        """Remove a connection."""
        graph_edit.disconnect(
            self.get_object(), connection_id, by=self.principal.id, user=self.principal.user
        )
        return Response({"message": "Connection removed successfully"})

    def _service(self) -> WorkflowService:
        return WorkflowService(self.principal)

    def _make_idempotent(self, request: Request) -> None:
        """Leave the key of a request to stop to its handler: inside a transaction no worker would see the order."""
        if self.action != "stop_execution":
            super()._make_idempotent(request)


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


def _valid(kind: type[Any], request: Request, *, partial: bool = False) -> dict[str, Any]:
    serializer = kind(data=request.data, partial=partial)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _uncached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
