"""The shapes of executions, their steps, and what may be ordered of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rest_framework import serializers

from automate.enums import ExecutionStatus, StepStatus
from automate.models import Execution, StepRun
from automate_api.bodies import BodySerializer
from automate_core.redaction import redact


class StartedSerializer(serializers.Serializer[Any]):
    """An execution that was queued."""

    execution_id = serializers.UUIDField()
    message = serializers.CharField()
    trace_id = serializers.CharField()


class ReplaySerializer(BodySerializer):
    """How to run an execution again; nothing means all of it, with the same input, on the live version."""

    version = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=2_147_483_647,
        help_text="version to run; the live one when absent",
    )
    input = serializers.DictField(
        required=False, help_text="replaces the input; reused outputs stay as they are"
    )
    force = serializers.ListField(
        child=serializers.CharField(max_length=1_000),
        required=False,
        default=list,
        max_length=1_000,
        help_text="paths of steps that may run twice although they must not",
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add `from`, which is no name in Python."""
        start = serializers.CharField(
            required=False,
            max_length=1_000,
            help_text="path of the first step to run again, such as `charge` or `orders[3]/charge`",
        )
        return {"from": start, **super().get_fields()}


class CancelSerializer(BodySerializer):
    """Why an execution is cancelled, for the audit trail."""

    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=1_000)


class PathSerializer(BodySerializer):
    """The step that is meant."""

    path = serializers.CharField(max_length=1_000, help_text="such as `charge` or `orders[3]/charge`")


class OrderedSerializer(serializers.Serializer[Any]):
    """What was ordered of an execution, and where it stands now."""

    execution_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=ExecutionStatus.choices)
    message = serializers.CharField()
    trace_id = serializers.CharField()


class StepSerializer(serializers.ModelSerializer[StepRun]):
    """One attempt of one step, as recorded."""

    status = serializers.ChoiceField(choices=StepStatus.choices, read_only=True)
    input_data = serializers.JSONField(read_only=True, allow_null=True)
    output_data = serializers.JSONField(read_only=True, allow_null=True)
    duration_ms = serializers.SerializerMethodField()

    class Meta:
        model = StepRun
        fields = [
            "id",
            "path",
            "node_key",
            "attempt",
            "status",
            "route",
            "input_data",
            "output_data",
            "error_code",
            "error_message",
            "wake_at",
            "started_at",
            "finished_at",
            "duration_ms",
        ]

    def get_duration_ms(self, step: StepRun) -> int | None:
        """Return how long the attempt took, None while it has not finished."""
        return _milliseconds(step.started_at, step.finished_at)


class ExecutionListSerializer(serializers.ModelSerializer[Execution]):
    """An execution as a row of the list."""

    workflow_id = serializers.UUIDField(source="automation_id", read_only=True)
    workflow_name = serializers.CharField(source="automation.name", read_only=True)
    status = serializers.ChoiceField(choices=ExecutionStatus.choices, read_only=True)
    trigger_event_id = serializers.UUIDField(source="event_id", read_only=True, allow_null=True)
    duration_ms = serializers.SerializerMethodField()

    class Meta:
        model = Execution
        fields = [
            "id",
            "workflow_id",
            "workflow_name",
            "status",
            "attempt",
            "started_at",
            "finished_at",
            "duration_ms",
            "trigger_event_id",
        ]

    def get_duration_ms(self, execution: Execution) -> int | None:
        """Return how long the execution took, None while it has not finished."""
        return _milliseconds(execution.started_at, execution.finished_at)


class ExecutionSerializer(ExecutionListSerializer):
    """An execution with its steps, in the order they were begun."""

    context = serializers.SerializerMethodField()  # type: ignore[assignment]
    workflow_version = serializers.IntegerField(source="version.number", default=None, read_only=True)
    output = serializers.JSONField(read_only=True, allow_null=True)
    steps = StepSerializer(many=True, read_only=True)
    error_code = serializers.SerializerMethodField()
    error_summary = serializers.SerializerMethodField()
    replay_of = serializers.UUIDField(source="replay_of_id", read_only=True, allow_null=True)
    children = serializers.SerializerMethodField()

    class Meta(ExecutionListSerializer.Meta):
        fields = [
            "id",
            "workflow_id",
            "workflow_name",
            "status",
            "attempt",
            "workflow_version",
            "context",
            "output",
            "steps",
            "error_code",
            "error_summary",
            "replay_of",
            "parent_execution_id",
            "parent_path",
            "children",
            "trace_id",
            "created_at",
            "started_at",
            "finished_at",
            "duration_ms",
            "trigger_event_id",
            "cancel_requested_at",
            "paused_at",
            "held_at",
        ]

    def get_context(self, execution: Execution) -> dict[str, Any]:
        """Return what the execution was started with, without secrets."""
        return dict(redact(execution.context))

    def get_error_code(self, execution: Execution) -> str | None:
        """Return the code of the failure, None when it did not fail."""
        return execution.error_code or None

    def get_children(self, execution: Execution) -> int:
        """Return how many executions its steps called and waited for."""
        return int(getattr(execution, "children", 0))

    def get_error_summary(self, execution: Execution) -> str | None:
        """Return why the execution failed, None when it did not."""
        return execution.error_summary or None


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else round((end - start).total_seconds() * 1000)
