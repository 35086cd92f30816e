"""The shapes of the orchestrator API."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from automate.models import Automation
from automate.realtime.statuses import TASK_WORDS
from automate_api.bodies import BodySerializer

MAX_ATTEMPTS = 100


class WorkflowRowSerializer(serializers.ModelSerializer[Automation]):
    """A workflow as the list shows it, and as it was created."""

    class Meta:
        model = Automation
        fields = ["id", "name", "created_at"]
        read_only_fields = fields


def workflow_rows(workflows: QuerySet[Automation]) -> list[dict[str, Any]]:
    """Return what `WorkflowRowSerializer` would, of thousands of workflows, from the three columns it shows."""
    shown = serializers.DateTimeField().to_representation
    return [
        {"id": pk, "name": name, "created_at": shown(created_at)}
        for pk, name, created_at in workflows.values_list("id", "name", "created_at")
    ]


class WorkflowUpdatedSerializer(serializers.ModelSerializer[Automation]):
    """A workflow after a change."""

    class Meta:
        model = Automation
        fields = ["id", "name", "updated_at"]
        read_only_fields = fields


class WorkflowDetailSerializer(serializers.ModelSerializer[Automation]):
    """A workflow on its own."""

    class Meta:
        model = Automation
        fields = ["id", "name", "created_at", "updated_at"]
        read_only_fields = fields


class WorkflowBodySerializer(BodySerializer):
    """What a client may say about a workflow; only the name is needed, and only to create one."""

    name = serializers.CharField(max_length=200)
    description = serializers.CharField(required=False, allow_blank=True)


class PositionSerializer(BodySerializer):
    """Where a node is drawn."""

    x = serializers.FloatField()
    y = serializers.FloatField()

    def to_internal_value(self, data: Any) -> Any:
        """Return the position as it was sent: whole numbers stay whole."""
        read = super().to_internal_value(data)
        wrong = {axis: "Give a number" for axis in read if not _is_number(data[axis])}
        if wrong:
            raise serializers.ValidationError(wrong)
        return {"x": data["x"], "y": data["y"]}


class NodePositionSerializer(BodySerializer):
    """A node is drawn elsewhere."""

    position = PositionSerializer()


NODE_POSITION = {
    "type": "object",
    "properties": {"position": {"$ref": "#/components/schemas/PositionRequest"}},
    "required": ["position"],
}
"""Schema of that body: of a PATCH everything would be optional, and without a position there is nothing to do."""


class NodeMovedSerializer(serializers.Serializer[Any]):
    """Where a node is drawn now."""

    id = serializers.CharField()
    position = PositionSerializer()


class NodeAddSerializer(BodySerializer):
    """A node to be drawn; its id is made when none is given."""

    nodeTemplate = serializers.CharField(max_length=200, help_text="a type of /api/nodes/, in any spelling")
    position = PositionSerializer(required=False)
    form_values = serializers.DictField(required=False, default=dict)
    id = serializers.CharField(
        required=False,
        max_length=200,
        help_text="its name in templates, `steps.<id>.output`; a UUID when absent",
    )
    label = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)  # type: ignore[assignment]


class NodeAddedSerializer(serializers.Serializer[Any]):
    """A node that was drawn."""

    id = serializers.CharField()
    node_type = serializers.CharField()
    position = PositionSerializer()


class NodeChangeSerializer(BodySerializer):
    """What is changed of a node; what is absent stays."""

    form_values = serializers.DictField(required=False)
    label = serializers.CharField(required=False, allow_blank=True, max_length=200)  # type: ignore[assignment]


class CanvasNodeSerializer(serializers.Serializer[Any]):
    """A node with everything there is to know about it."""

    id = serializers.CharField()
    node_type = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    form_values = serializers.DictField()
    position = PositionSerializer()
    routes = serializers.ListField(child=serializers.CharField(), help_text="handles its edges may leave by")
    input_data = serializers.DictField(help_text="outputs of the nodes that lead to it, by node id")
    output_data = serializers.JSONField(help_text="what it gave last; {} when it never ran")
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        help_text="what keeps it from running, by field",
    )


class ConnectionSerializer(serializers.Serializer[Any]):
    """An edge between two nodes."""

    id = serializers.UUIDField()
    source = serializers.CharField()  # type: ignore[assignment]
    target = serializers.CharField()
    source_handle = serializers.CharField(allow_null=True, help_text="the route it leaves by")


class ConnectionAddSerializer(BodySerializer):
    """An edge to be drawn; `from` and `to` are understood for `source` and `target`."""

    source = serializers.CharField(max_length=200)  # type: ignore[assignment]
    target = serializers.CharField(max_length=200)
    source_handle = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=64)

    def to_internal_value(self, data: Any) -> Any:
        """Return the edge, whichever names its ends were given."""
        if isinstance(data, dict):
            data = {"source": data.get("from"), "target": data.get("to"), **data}
            data = {name: value for name, value in data.items() if value is not None}
        return super().to_internal_value(data)


class CanvasSerializer(serializers.Serializer[Any]):
    """A workflow as it is drawn."""

    id = serializers.UUIDField()
    nodes = CanvasNodeSerializer(many=True)
    edges = ConnectionSerializer(many=True)


class StartSerializer(BodySerializer):
    """What an execution is started with."""

    input = serializers.DictField(required=False, default=dict)
    max_attempts = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_ATTEMPTS,
        help_text="tries of steps without a policy; 1 by default",
    )


class TaskSerializer(serializers.Serializer[Any]):
    """An execution, and how it goes."""

    task_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=sorted(set(TASK_WORDS.values())))


class NodeInputSerializer(serializers.Serializer[Any]):
    """What comes from the nodes that lead to a node, by node id."""

    input_data = serializers.DictField()


class NodeOutputSerializer(serializers.Serializer[Any]):
    """What a node gave last; {} when it never ran."""

    output_data = serializers.JSONField()


class MessageSerializer(serializers.Serializer[Any]):
    """What was done."""

    message = serializers.CharField()


class NodeTypeSerializer(serializers.Serializer[Any]):
    """A type of node with its form."""

    type = serializers.CharField()
    aliases = serializers.ListField(child=serializers.CharField())
    label = serializers.CharField()  # type: ignore[assignment]
    description = serializers.CharField()
    category = serializers.CharField()
    effect = serializers.CharField()
    routes = serializers.ListField(child=serializers.CharField())
    fields = serializers.ListField(child=serializers.DictField())  # type: ignore[assignment]
    error = serializers.CharField(required=False, help_text="why it cannot be described; absent when it can")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
