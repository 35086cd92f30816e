"""For tests of connectors: the conformance suite every connector passes, and one that records its calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from automate_connectors import validation
from automate_connectors.base import ActionSpec, Connector, ConnectorContext
from automate_connectors.registry import registry
from automate_core.errors import AutomateError, PermanentError, TransientError
from automate_core.steps import Effect

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class ConnectorConformance:
    """The promises of the connector contract as tests; subclass it as `class TestMine(ConnectorConformance)`.

    Set `connector`; nothing is sent anywhere.
    """

    connector: ClassVar[type[Connector]]

    def test_key_and_names_fit_a_step_type(self) -> None:
        """`key.action` is a step type: lower case, digits and underscores."""
        names = [spec.name for spec in self.connector.actions()]
        assert _NAME.fullmatch(self.connector.key)
        assert all(map(_NAME.fullmatch, names))
        assert len(set(names)) == len(names) > 0

    def test_connector_has_a_name_people_can_read(self) -> None:
        """The display name and every action's label are shown to people."""
        assert self.connector.display_name
        assert all(spec.label for spec in self.connector.actions())

    def test_schemas_are_valid_json_schema_of_objects(self) -> None:
        """Schemas are checked, are JSON, and describe objects."""
        for spec in self.connector.actions():
            for schema in (spec.input_schema, spec.output_schema):
                validation.check_schema(schema)
                assert schema.get("type") == "object"
                assert orjson.loads(orjson.dumps(schema)) == schema
        validation.check_schema(self.connector.connection_schema)

    def test_actions_are_the_same_every_time(self) -> None:
        """The engine keeps what `actions()` returned."""
        assert self.connector.actions() == self.connector.actions()

    def test_input_that_is_not_an_object_of_the_schema_is_refused(self) -> None:
        """A typo in a field's name is told at save time."""
        for spec in self.connector.actions():
            assert validation.problems(spec.input_schema, [])
            assert validation.problems(spec.input_schema, {"no such field": 1})

    def test_effect_is_declared_without_side_effects(self) -> None:
        """The effect of an input is known before the call, also for an empty or unrendered one."""
        for spec in self.connector.actions():
            for input_data in (
                {},
                dict.fromkeys(spec.input_schema.get("properties", {}), "{{ event.x }}"),
            ):
                assert spec.effect_of(input_data) in (Effect.IDEMPOTENT, Effect.AT_MOST_ONCE)

    def test_unknown_action_is_an_error(self) -> None:
        """An action that does not exist is refused, not ignored."""
        try:
            self.connector({}, ConnectorContext()).execute_action("no_such_action", {})
        except (AutomateError, ValueError):
            return
        raise AssertionError("an unknown action was accepted")

    def test_timeouts_are_transient_and_unknown_errors_stay_unknown(self) -> None:
        """The engine tells what may be retried by the class of the error."""
        connector = self.connector({}, ConnectorContext())
        surprise = RuntimeError("surprise")
        assert isinstance(connector.normalize_error(TimeoutError()), TransientError)
        assert isinstance(connector.normalize_error(PermanentError()), PermanentError)
        assert not isinstance(connector.normalize_error(surprise), TransientError | PermanentError)


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One call a RecordingConnector got."""

    action: str
    input_data: dict[str, Any]
    config: dict[str, Any]
    ctx: ConnectorContext


class RecordingConnector(Connector):
    """Does nothing and remembers it. `recorder()` makes a registered one of its own for a test."""

    key = "recorder"
    display_name = "Recorder"
    calls: ClassVar[list[RecordedCall]] = []
    results: ClassVar[list[dict[str, Any] | Exception]] = []

    @classmethod
    def actions(cls) -> list[ActionSpec]:
        """Return one idempotent and one at-most-once action."""
        schema = {
            "type": "object",
            "properties": {"value": {}, "number": {"type": "integer"}},
            "additionalProperties": False,
        }
        return [
            ActionSpec("put", schema, idempotent=True, label="Put"),
            ActionSpec("post", schema, label="Post"),
        ]

    def execute_action(self, action: str, input_data: dict[str, Any]) -> dict[str, Any]:
        """Record the call; return or raise the next of `results`, else return the input."""
        if action not in ("put", "post"):
            raise PermanentError(f"The recorder has no action {action!r}")
        self.calls.append(RecordedCall(action, input_data, self.config, self.ctx))
        result = self.results.pop(0) if self.results else {"received": input_data}
        if isinstance(result, Exception):
            raise result
        return result


@contextmanager
def recorder(key: str = "recorder", **attributes: Any) -> Iterator[type[RecordingConnector]]:
    """Register a fresh RecordingConnector under `key` for the block.

    Args:
        key: its key in the registry.
        attributes: class attributes to set, such as `requires_connection=True`.
    """
    made = type("Recorder", (RecordingConnector,), {"key": key, "calls": [], "results": [], **attributes})
    registry.register(key, made)
    try:
        yield made
    finally:
        registry.unregister(key)
