"""The routes of what is drawn: nodes and connections."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from automate import workflows
from automate.drawings import drawn_graph
from automate_api.v1.base import BaseViewSet
from automate_core.models import Role
from automate_studio.canvas import canvas, graph_edit, records, serializers
from automate_studio.canvas.bodies import valid

ROLES = dict.fromkeys(
    ("add_node", "change_node", "position", "remove_node", "connect", "disconnect"), Role.EDITOR
)
NODE_ID = OpenApiParameter("node_id", OpenApiTypes.STR, OpenApiParameter.PATH)
CONNECTION_ID = OpenApiParameter("connection_id", OpenApiTypes.STR, OpenApiParameter.PATH)
NODE = r"nodes/(?P<node_id>[^/]+)"


class NodeActions(BaseViewSet):
    """Add, fill in, move and remove nodes, and read what came of them."""

    @extend_schema(request=serializers.NodeAddSerializer, responses={201: serializers.NodeAddedSerializer})
    @action(detail=True, methods=["post"], url_path="nodes/add")
    def add_node(self, request: Request, pk: str | None = None) -> Response:
        """Draw a node."""
        automation = self.get_object()
        given = valid(serializers.NodeAddSerializer, request)
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
        given = valid(serializers.NodeChangeSerializer, request)
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
        request={"application/json": serializers.NODE_POSITION},
        responses=serializers.NodeMovedSerializer,
    )
    @action(detail=True, methods=["patch"], url_path=f"{NODE}/position")
    def position(self, request: Request, pk: str | None = None, node_id: str = "") -> Response:
        """Draw a node elsewhere."""
        automation = self.get_object()
        given = valid(serializers.NodePositionSerializer, request)
        workflows.place_node(automation, node_id, given["position"], by=self.principal.id)
        return Response({"id": node_id, "position": given["position"]})

    @extend_schema(parameters=[NODE_ID], responses={200: serializers.MessageSerializer})
    @action(detail=True, methods=["delete"], url_path=f"{NODE}/remove")
    def remove_node(self, request: Request, pk: str | None = None, node_id: str = "") -> Response:
        """Take a node off the drawing, with its connections."""
        graph_edit.remove_node(self.get_object(), node_id, by=self.principal.id, user=self.principal.user)
        return Response({"message": "Node removed successfully"})


class ConnectionActions(BaseViewSet):
    """List, draw and remove connections."""

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
        given = valid(serializers.ConnectionAddSerializer, request)
        edge, is_new = graph_edit.connect(
            automation,
            given["source"],
            given["target"],
            given.get("source_handle") or None,
            by=self.principal.id,
            user=self.principal.user,
        )
        return Response(edge, status=201 if is_new else 200)

    @extend_schema(parameters=[CONNECTION_ID], responses={200: serializers.MessageSerializer})
    @action(detail=True, methods=["delete"], url_path=r"connections/(?P<connection_id>[^/]+)/remove")
    def disconnect(self, request: Request, pk: str | None = None, connection_id: str = "") -> Response:
        """Remove a connection."""
        graph_edit.disconnect(
            self.get_object(), connection_id, by=self.principal.id, user=self.principal.user
        )
        return Response({"message": "Connection removed successfully"})
