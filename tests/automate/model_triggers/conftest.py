"""Steps that do what a test tells them, as the tests of the runtime have them."""

from tests.automate.runtime.conftest import register_step

__all__ = ["register_step"]
