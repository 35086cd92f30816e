"""What a step may say while it runs to those who watch: lines of a log, and pieces of a text as it comes into being."""

from __future__ import annotations


class Live:
    """Says nothing to anybody: what a step has where nobody can watch.

    What is said is not recorded, may be cut short or dropped, and never fails or delays a step.
    """

    def log(self, text: str, *, level: str = "info") -> None:
        """Say one line.

        Args:
            text: the line; secrets are removed, and what is longer than 4,000 characters is cut off.
            level: "debug", "info", "warning" or "error".
        """

    def token(self, text: str) -> None:
        """Say the next piece of a text that is coming into being, such as a language model's answer."""

    def close(self) -> None:
        """Say what was held back; called when the step has returned."""


SILENT = Live()
