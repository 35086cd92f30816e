"""The shapes of the engine's REST resources."""

from automate.api.serializers.events import (
    EmitSerializer,
    EmittedSerializer,
    EventListSerializer,
    EventSerializer,
)
from automate.api.serializers.executions import (
    CancelSerializer,
    ExecutionListSerializer,
    ExecutionSerializer,
    OrderedSerializer,
    PathSerializer,
    ReplaySerializer,
    StartedSerializer,
    StepSerializer,
)
from automate.api.serializers.workflows import (
    FindingSerializer,
    ProblemSerializer,
    RunSerializer,
    VersionSerializer,
    WorkflowCheckedSerializer,
    WorkflowCheckSerializer,
    WorkflowListSerializer,
    WorkflowSerializer,
    WorkflowWriteSerializer,
)

__all__ = [
    "CancelSerializer",
    "EmitSerializer",
    "EmittedSerializer",
    "EventListSerializer",
    "EventSerializer",
    "ExecutionListSerializer",
    "ExecutionSerializer",
    "FindingSerializer",
    "OrderedSerializer",
    "PathSerializer",
    "ProblemSerializer",
    "ReplaySerializer",
    "RunSerializer",
    "StartedSerializer",
    "StepSerializer",
    "VersionSerializer",
    "WorkflowCheckSerializer",
    "WorkflowCheckedSerializer",
    "WorkflowListSerializer",
    "WorkflowSerializer",
    "WorkflowWriteSerializer",
]
