"""The engine in the admin: its history to look at, its verbs as actions."""

from automate.admin.approvals import ApprovalAdmin, ApprovalVoteAdmin
from automate.admin.history import EventAdmin, ExecutionAdmin, StepRunAdmin
from automate.admin.live import LiveSeatAdmin, LiveWatchAdmin
from automate.admin.queues import QueueMessageAdmin
from automate.admin.sources import WebhookSourceAdmin
from automate.admin.subscriptions import WebhookSubscriptionAdmin
from automate.admin.windows import TriggerWindowAdmin, WindowedEventAdmin
from automate.admin.workflows import (
    AutomationAdmin,
    RoutingRevisionAdmin,
    TriggerAdmin,
    WorkflowVersionAdmin,
)

__all__ = [
    "ApprovalAdmin",
    "ApprovalVoteAdmin",
    "AutomationAdmin",
    "EventAdmin",
    "ExecutionAdmin",
    "LiveSeatAdmin",
    "LiveWatchAdmin",
    "QueueMessageAdmin",
    "RoutingRevisionAdmin",
    "StepRunAdmin",
    "TriggerAdmin",
    "TriggerWindowAdmin",
    "WebhookSourceAdmin",
    "WebhookSubscriptionAdmin",
    "WindowedEventAdmin",
    "WorkflowVersionAdmin",
]
