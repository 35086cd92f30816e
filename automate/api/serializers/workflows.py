"""The shapes of workflows, their versions, and what is wrong with them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from automate.drawings import drawn_graph, whole
from automate.enums import TriggerType
from automate.models import Automation, WorkflowVersion
from automate.workflows import draft_problems
from automate_api.bodies import BodySerializer

_SLUG = r"^[a-z0-9]([a-z0-9_-]{0,98}[a-z0-9])?$"


class ProblemSerializer(serializers.Serializer[Any]):
    """One wrong field."""

    field = serializers.CharField()
    message = serializers.CharField()


class WorkflowListSerializer(serializers.ModelSerializer[Automation]):
    """A workflow as a row of the list."""

    trigger_type = serializers.ChoiceField(
        source="live_version.trigger_type",
        choices=TriggerType.choices,
        default=TriggerType.MANUAL,
        read_only=True,
    )
    workflow_version = serializers.IntegerField(source="live_version.number", default=0, read_only=True)

    class Meta:
        model = Automation
        fields = [
            "id",
            "name",
            "slug",
            "enabled",
            "trigger_type",
            "workflow_version",
            "created_at",
            "updated_at",
        ]


class WorkflowSerializer(WorkflowListSerializer):
    """A workflow with its trigger and its graph as it is drawn, which is the live one unless it has a draft.

    `draft` and `problems` are there only while there is a draft: a drawn graph that cannot run yet. Triggers go on
    starting the live version meanwhile.
    """

    trigger_config = serializers.DictField(source="live_version.trigger_config", default=dict, read_only=True)
    graph = serializers.SerializerMethodField()
    # Not read-only for the document's sake: it calls what is read-only always there.
    draft = serializers.BooleanField(required=False)
    problems = ProblemSerializer(many=True, required=False)

    class Meta(WorkflowListSerializer.Meta):
        fields = [
            "id",
            "name",
            "slug",
            "description",
            "enabled",
            "trigger_type",
            "trigger_config",
            "workflow_version",
            "graph",
            "draft",
            "problems",
            "created_at",
            "updated_at",
        ]

    def get_graph(self, automation: Automation) -> dict[str, Any]:
        """Return the graph with the positions of its nodes."""
        return drawn_graph(automation)

    def to_representation(self, instance: Automation) -> dict[str, Any]:
        """Return the workflow; what is said of a draft only when there is one."""
        shown = dict(super().to_representation(instance))
        if instance.draft is not None:
            found = draft_problems(instance)
            return {**shown, "draft": True, "problems": [problem.as_dict() for problem in found]}
        return {name: value for name, value in shown.items() if name not in ("draft", "problems")}


class WorkflowWriteSerializer(BodySerializer):
    """What a client may say about a workflow; only the name is needed, and only to create one."""

    name = serializers.CharField(max_length=200)
    slug = serializers.RegexField(
        _SLUG,
        required=False,
        error_messages={"invalid": "must be 1 to 100 lowercase letters, digits, hyphens or underscores"},
    )
    description = serializers.CharField(required=False, allow_blank=True)
    enabled = serializers.BooleanField(required=False)
    trigger_type = serializers.CharField(max_length=16, required=False)
    trigger_config = serializers.DictField(required=False)
    graph = serializers.DictField(required=False)


class WorkflowCheckSerializer(BodySerializer):
    """A graph and a trigger to be checked; what is absent is taken from the live version."""

    trigger_type = serializers.CharField(max_length=16, required=False)
    trigger_config = serializers.DictField(required=False)
    graph = serializers.DictField(required=False)


class FindingSerializer(serializers.Serializer[Any]):
    """One thing the linter found."""

    code = serializers.CharField()
    node = serializers.CharField()
    field = serializers.CharField()
    message = serializers.CharField()
    severity = serializers.CharField()


class WorkflowCheckedSerializer(serializers.Serializer[Any]):
    """Whether a graph and a trigger could be saved, what is wrong with them, and what is doubtful."""

    valid = serializers.BooleanField()
    errors = ProblemSerializer(many=True)  # type: ignore[assignment]
    warnings = FindingSerializer(many=True)


class VersionSerializer(serializers.ModelSerializer[WorkflowVersion]):
    """One saved version of a workflow."""

    workflow_version = serializers.IntegerField(source="number", read_only=True)
    graph = serializers.SerializerMethodField()
    trigger_config = serializers.DictField(read_only=True)

    class Meta:
        model = WorkflowVersion
        fields = ["workflow_version", "trigger_type", "trigger_config", "graph", "created_at"]

    def get_graph(self, version: WorkflowVersion) -> dict[str, Any]:
        """Return the graph with the lists of its nodes and edges."""
        return whole(version.graph)


class RunSerializer(BodySerializer):
    """The input of a run."""

    payload = serializers.DictField(required=False, default=dict)
