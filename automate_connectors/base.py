"""The contract of a connector: what it can do, what it needs, and how its failures are named."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from automate_core.errors import AutomateError, ErrorCodes, TransientError
from automate_core.steps import Effect

_ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One operation of a connector.

    Args:
        name: unique in the connector; with its key it is the step type, as in `slack.send_message`.
        input_schema: JSON Schema (2020-12) of the action's input, checked before each call.
        output_schema: JSON Schema of what `execute_action` returns.
        idempotent: the outside system recognises a repeated call by `ctx.idempotency_key`, or repeating does
            no harm; otherwise the action runs at most once.
        label, description: shown to people.
        timeout_seconds: longest a call may take.
        raw_fields: input fields that are not templates.
        effect: decides for one input what `idempotent` says for all; the input may hold unrendered templates.
    """

    name: str
    input_schema: Mapping[str, Any] = field(default_factory=lambda: _ANY_OBJECT)
    output_schema: Mapping[str, Any] = field(default_factory=lambda: _ANY_OBJECT)
    idempotent: bool = False
    label: str = ""
    description: str = ""
    timeout_seconds: float = 30.0
    raw_fields: frozenset[str] = frozenset()
    effect: Callable[[Mapping[str, Any]], Effect] | None = None

    def effect_of(self, input_data: Mapping[str, Any]) -> Effect:
        """Return the effect class of a call with this input."""
        if self.effect is not None:
            return self.effect(input_data)
        return Effect.IDEMPOTENT if self.idempotent else Effect.AT_MOST_ONCE


@dataclass(frozen=True, slots=True)
class TriggerSpec:
    """One kind of event an outside system sends: its type, and the JSON Schema of its payload."""

    name: str
    payload_schema: Mapping[str, Any] = field(default_factory=lambda: _ANY_OBJECT)
    label: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class ConnectorContext:
    """Where a call comes from. `idempotency_key` is the same for every attempt of the same step."""

    tenant_id: UUID | None = None
    execution_id: UUID | None = None
    step_path: str = ""
    idempotency_key: str = ""
    trace_id: str = ""
    timeout_seconds: float = 30.0


class Connector(ABC):
    """Adapter to one outside system. Subclass it and register the class in `AppConfig.ready`.

    An instance serves one call: `config` is the connection's configuration with its secrets resolved.
    """

    key: ClassVar[str]
    display_name: ClassVar[str] = ""
    connection_schema: ClassVar[Mapping[str, Any]] = _ANY_OBJECT
    """JSON Schema of a connection's config as stored: secrets are references."""
    requires_connection: ClassVar[bool] = False
    """Without a connection named by the step, use the tenant's only one, and fail when there is none."""
    host_fields: ClassVar[frozenset[str]] = frozenset({"base_url", "url", "host"})
    """Config fields that decide where credentials are sent; changing one clears the stored references."""

    def __init__(self, config: dict[str, Any], ctx: ConnectorContext | None = None) -> None:
        self.config = config
        self.ctx = ctx or ConnectorContext()

    @classmethod
    @abstractmethod
    def actions(cls) -> list[ActionSpec]:
        """Return the actions this connector offers."""

    @classmethod
    def triggers(cls) -> list[TriggerSpec]:
        """Return the events this connector's system sends."""
        return []

    @abstractmethod
    def execute_action(self, action: str, input_data: dict[str, Any]) -> dict[str, Any]:
        """Perform an action and return its output, plain JSON.

        Raises:
            TransientError: it may succeed later; `performed` says whether this call can have taken effect.
            PermanentError: it never will.
        """

    def normalize_error(self, exc: Exception) -> Exception:
        """Return the error the engine decides on; what is not recognised is returned as it is.

        Override it to translate the errors of a vendor's library.
        """
        if isinstance(exc, AutomateError):
            return exc
        if isinstance(exc, ConnectionRefusedError | socket.gaierror):
            return TransientError(f"{self.key}: the connection could not be made", performed=False)
        if isinstance(exc, TimeoutError):
            return TransientError(ErrorCodes.TIMEOUT, f"{self.key}: no answer in time", performed=None)
        if isinstance(exc, ConnectionError):
            return TransientError(f"{self.key}: the connection broke", performed=None)
        return exc
