"""Running a finished execution again: the whole of it, or from one step on with what came before it reused."""

from automate.replays.replay import replay

__all__ = ["replay"]
