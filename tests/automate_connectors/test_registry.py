"""The registry, by both documented import paths, and the documented connector."""

from __future__ import annotations

from typing import Any

import pytest

import automate_connectors
from automate_connectors import Connector, registry
from automate_connectors.base import ActionSpec, ConnectorContext, TriggerSpec
from automate_connectors.builtin import SlackConnector
from automate_connectors.registry import registry as registry_of_module
from automate_connectors.testing import recorder
from automate_core.errors import AutomateError, ErrorCodes
from automate_core.registry import DuplicateEntry, UnknownEntry
from automate_core.steps import Effect


def test_both_import_paths_give_the_same_registry() -> None:
    assert registry is registry_of_module
    assert automate_connectors.registry is registry


def test_builtin_connectors_are_registered() -> None:
    assert {"email", "http", "slack"} <= set(registry.list_connectors())
    assert registry.get_connector("slack") is SlackConnector


def test_documented_connector_works() -> None:
    class MyConnector(Connector):
        key = "my_connector"
        display_name = "My Connector"

        @classmethod
        def actions(cls) -> list[ActionSpec]:
            return [
                ActionSpec(
                    name="send_message",
                    input_schema={"type": "object", "properties": {"text": {"type": "string"}}},
                    idempotent=True,
                )
            ]

        def execute_action(self, action: str, input_data: dict[str, Any]) -> dict[str, Any]:
            if action == "send_message":
                return self._send_message(input_data)
            raise ValueError(f"Unknown action: {action}")

        def normalize_error(self, exc: Exception) -> Exception:
            return AutomateError(ErrorCodes.INTERNAL, str(exc))

        def _send_message(self, input_data: dict[str, Any]) -> dict[str, Any]:
            return {"sent": input_data["text"], "by": self.config["name"], "key": self.ctx.idempotency_key}

    registry.register("my_connector", MyConnector)
    try:
        connector_cls = registry.get_connector("my_connector")
        connector = connector_cls(config={"name": "me"}, ctx=ConnectorContext(idempotency_key="abc"))
        assert "my_connector" in list(registry.list_connectors())
        assert connector.execute_action("send_message", {"text": "hi"}) == {
            "sent": "hi",
            "by": "me",
            "key": "abc",
        }
        with pytest.raises(ValueError, match="Unknown action: nothing"):
            connector.execute_action("nothing", {})
        error = connector.normalize_error(ValueError("why"))
        assert isinstance(error, AutomateError)
        assert (error.code, error.message) == ("INTERNAL_ERROR", "why")
        assert connector.triggers() == []
        assert TriggerSpec("message.posted").payload_schema == {"type": "object"}
    finally:
        registry.unregister("my_connector")


def test_unknown_connector_names_the_closest() -> None:
    with pytest.raises(UnknownEntry, match="slack"):
        registry.get_connector("slak")


def test_another_class_cannot_take_a_key() -> None:
    with recorder("mine"), pytest.raises(DuplicateEntry):
        registry.register("mine", SlackConnector)


def test_class_defined_again_in_the_same_place_takes_over() -> None:
    with recorder("mine") as first:
        again = type(first.__name__, first.__bases__, {"__module__": first.__module__, "key": "mine"})
        assert registry.register("mine", again) is again
        assert registry.get_connector("mine") is again


@pytest.mark.parametrize("step_type", ["slack", "slack.", "slack.nothing", "nothing.send_message", ".", ""])
def test_find_action_knows_what_does_not_exist(step_type: str) -> None:
    assert registry.find_action(step_type) is None


def test_action_effect_follows_idempotent_and_hook() -> None:
    assert ActionSpec("a").effect_of({}) == Effect.AT_MOST_ONCE
    assert ActionSpec("a", idempotent=True).effect_of({}) == Effect.IDEMPOTENT
    hooked = ActionSpec("a", effect=lambda data: Effect.IDEMPOTENT if data.get("k") else Effect.AT_MOST_ONCE)
    assert (hooked.effect_of({"k": 1}), hooked.effect_of({})) == (Effect.IDEMPOTENT, Effect.AT_MOST_ONCE)
