"""What may be done to an execution from outside the engine, each verb from the module that owns it."""

from automate.executions.burial import bury, is_gone, revive, with_calls
from automate.executions.control import cancel, pause, resume, retry_now, skip
from automate.executions.start import ExecutionTooDeep, start_execution
from automate.limits.gate import queue

__all__ = [
    "ExecutionTooDeep",
    "bury",
    "cancel",
    "is_gone",
    "pause",
    "queue",
    "resume",
    "retry_now",
    "revive",
    "skip",
    "start_execution",
    "with_calls",
]
