"""Models of the engine."""

from automate.models.approval import Approval, ApprovalVote
from automate.models.event import Event, WebhookSource
from automate.models.execution import Execution, StepRun
from automate.models.live import LiveSeat, LiveWatch
from automate.models.queue import QueueMessage
from automate.models.subscription import WebhookSubscription
from automate.models.window import TriggerWindow, WindowedEvent, WindowKind
from automate.models.workflow import Automation, RoutingRevision, Trigger, WorkflowVersion

__all__ = [
    "Approval",
    "ApprovalVote",
    "Automation",
    "Event",
    "Execution",
    "LiveSeat",
    "LiveWatch",
    "QueueMessage",
    "RoutingRevision",
    "StepRun",
    "Trigger",
    "TriggerWindow",
    "WebhookSource",
    "WebhookSubscription",
    "WindowKind",
    "WindowedEvent",
    "WorkflowVersion",
]
