"""Events of Django models: told by signals, or for tables that have them by triggers of the database."""

from automate.model_triggers.announcing import connect
from automate.model_triggers.rows import snapshot
from automate.model_triggers.watched import forget

__all__ = ["connect", "forget", "snapshot"]
