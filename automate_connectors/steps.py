"""Connector actions as steps: `slack.send_message` is a node type without anyone writing a handler for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from django.db import InterfaceError, OperationalError

from automate_connectors import connections, validation
from automate_connectors.base import ActionSpec, Connector, ConnectorContext
from automate_connectors.connections import LoadedConnection
from automate_connectors.pace import wait_turn
from automate_connectors.registry import registry
from automate_core.context import tenant_scope
from automate_core.errors import AutomateError, NotYet, PermanentError, Problem, TransientError
from automate_core.redaction import redactor
from automate_core.secrets import collect_secrets
from automate_core.steps import Effect, StepContext, StepHandler, StepResult, folded

CONNECTION_FIELD = "connection"
"""Config field that names the connection; the action never sees it."""

_NOT_JSON = (
    orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def action_handler(type: str) -> StepHandler | None:
    """Return the step handler of a type like `slack.send_message`; None when no connector has that action."""
    found = registry.find_action(type)
    return None if found is None else _handler(type, found[0])


def find_action(kind: str) -> StepHandler | None:
    """Return the step handler of an action also when its type is written with hyphens or without the dot."""
    if (found := action_handler(kind)) is not None:
        return found
    wanted = folded(kind)
    for key in registry:
        if not wanted.startswith(folded(key)):
            continue
        for spec in registry.get(key).actions():
            if wanted in (folded(f"{key}.{spec.name}"), folded(f"{key}_{spec.name}")):
                return action_handler(f"{key}.{spec.name}")
    return None


@lru_cache(maxsize=512)
def _handler(step_type: str, connector: type[Connector]) -> ConnectorStep:
    name = step_type.partition(".")[2]
    return ConnectorStep(
        step_type, connector, next(spec for spec in connector.actions() if spec.name == name)
    )


class ConnectorStep(StepHandler):
    """One action of a connector as a step."""

    def __init__(self, step_type: str, connector: type[Connector], spec: ActionSpec) -> None:
        self.type = step_type  # type: ignore[misc]
        self.label = spec.label or f"{connector.display_name or connector.key}: {spec.name}"  # type: ignore[misc]
        self.raw_fields = spec.raw_fields  # type: ignore[misc]
        self.timeout_seconds = spec.timeout_seconds  # type: ignore[misc]
        self.effect = Effect.IDEMPOTENT if spec.idempotent else Effect.AT_MOST_ONCE  # type: ignore[misc]
        self.config_schema = _with_connection(spec.input_schema)  # type: ignore[misc]
        self.connector = connector
        self.spec = spec

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with the config whatever its templates turn into."""
        return [
            *connection_problems(config),
            *validation.problems_before_rendering(self.spec.input_schema, _input(config)),
        ]

    def effect_of(self, config: Mapping[str, Any]) -> Effect:
        """Return the effect the action declares for this input."""
        return self.spec.effect_of(_input(config))

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult:
        """Call the action.

        Raises:
            NotYet: the connection's rate limit has this call wait.
            PermanentError: the rendered config does not fit the action, or the call can never succeed.
            TransientError: it may succeed later.
            Exception: whatever the connector raised and did not recognise.
        """
        input_data = _input(config)
        if found := [*connection_problems(config), *validation.problems(self.spec.input_schema, input_data)]:
            raise PermanentError(f"The input of {self.type} is not valid", details=found)
        with tenant_scope(context.tenant_id), collect_secrets():
            connection = self._connection(config.get(CONNECTION_FIELD), context)
            connector = self.connector(connection.config, _connector_context(context))
            try:
                output = connector.execute_action(self.spec.name, input_data)
            except Exception as error:
                normal = connector.normalize_error(error)
                _redact_error(normal, connection.secrets)
                if normal is error:
                    raise
                raise normal from error
        return StepResult(_json_object(output, self.type))

    def _connection(self, name: str | None, context: StepContext) -> LoadedConnection:
        """Return the connection when its rate limit lets the call go; raises NotYet otherwise."""
        if not name and not self.connector.requires_connection:
            return LoadedConnection()
        # Nothing has been called yet, so even an at-most-once step may be tried again.
        try:
            connection = connections.load(self.connector.key, name or None)
            if connection.id and connection.rate_limit:
                wait_turn(
                    connection.id, connection.name, connection.rate_limit, holder=context.idempotency_key
                )
        except NotYet:
            raise
        except TransientError as error:
            raise TransientError(error.code, error.message, performed=False) from error
        except (OperationalError, InterfaceError) as error:
            raise TransientError(
                "The database went away before the connection could be used", performed=False
            ) from error
        return connection


def connection_problems(config: Mapping[str, Any]) -> Sequence[Problem]:
    """Return what is wrong with the connection a config names."""
    name = config.get(CONNECTION_FIELD)
    if name is None or isinstance(name, str):
        return ()
    return (Problem(CONNECTION_FIELD, "Must be the name of a connection"),)


def _input(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != CONNECTION_FIELD}


def _with_connection(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    fields: dict[str, Any] = {
        CONNECTION_FIELD: {
            "type": ["string", "null"], "title": "Connection", "description": "Name of the connection to use.",
        },
        **schema.get("properties", {}),
    }  # fmt: skip
    return {**schema, "properties": fields}


def _connector_context(context: StepContext) -> ConnectorContext:
    return ConnectorContext(
        tenant_id=context.tenant_id,
        execution_id=context.execution_id,
        step_path=context.path,
        idempotency_key=context.idempotency_key,
        trace_id=context.trace_id,
        timeout_seconds=context.timeout_seconds,
    )


def _redact_error(error: Exception, secrets: tuple[str, ...]) -> None:
    """Remove the connection's secrets from an error that is about to be recorded and logged."""
    clean = redactor(secrets)
    error.args = tuple(clean.text(item) if isinstance(item, str) else item for item in error.args)
    if isinstance(error, AutomateError):
        error.message = clean.text(error.message)
        error.details = tuple(
            Problem(problem.field, clean.text(problem.message)) for problem in error.details
        )
        error.extra = clean.redact(dict(error.extra))


def _json_object(output: Any, step_type: str) -> dict[str, Any]:
    if not isinstance(output, dict):
        raise PermanentError(f"{step_type} returned {type(output).__name__}; a connector returns a dict")
    try:
        orjson.dumps(output, option=_NOT_JSON)
    except (TypeError, ValueError) as error:
        raise PermanentError(f"{step_type} returned what is not JSON: {error}") from error
    return output
