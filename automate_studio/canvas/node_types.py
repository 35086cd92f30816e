"""The node types people can choose from: every registered step and every action of every connector.

Types are other people's code: one that cannot be described is listed with what is wrong, and the others are as ever.
"""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Iterator
from typing import Any

from automate.runtime.plans import find_handler
from automate_api.rendering import to_json
from automate_connectors.base import ActionSpec
from automate_connectors.registry import registry as connectors
from automate_connectors.steps import ConnectorStep, action_handler
from automate_core.errors import NotFound
from automate_core.steps import Effect, StepHandler, step_registry
from automate_studio.canvas.forms import form_fields

logger = logging.getLogger(__name__)

_told: set[str] = set()
"""What was logged as broken already, in this process."""


def every_type() -> Iterator[StepHandler]:
    """Yield the handler of every type: steps first, then actions, each in alphabetical order."""
    for name in step_registry:
        yield step_registry.get(name)
    for key in connectors:
        for spec in _actions(key):
            handler = action_handler(f"{key}.{spec.name}")
            if handler is not None and handler.type not in step_registry:
                yield handler


def describe(handler: StepHandler) -> dict[str, Any]:
    """Return what the canvas has to know about a type; of one that cannot be described, an `error` that says why."""
    try:
        described = _described(handler)
        to_json(described)
        return described
    except Exception as error:  # noqa: BLE001 - told, and logged with its traceback
        kind = str(handler.type)
        _tell(kind, error)
        return {
            "type": kind,
            "aliases": [],
            "label": kind,
            "description": "",
            "category": "Actions",
            "effect": Effect(handler.effect).value,
            "routes": [],
            "fields": [],
            "error": f"{type(handler).__name__} cannot be described ({type(error).__name__}: {error}); correct its"
            " config_schema, label and routes",
        }


def _described(handler: StepHandler) -> dict[str, Any]:
    return {
        "type": handler.type,
        "aliases": _aliases(handler),
        "label": handler.label or handler.type,
        "description": _description(handler),
        "category": _category(handler),
        "effect": handler.effect.value,
        "routes": list(handler.routes),
        "fields": form_fields(handler),
    }


def describe_type(kind: str) -> dict[str, Any]:
    """Return what there is to know about a type, in whichever spelling; raises NotFound."""
    handler = find_handler(kind)
    if handler is None:
        raise NotFound(unknown(kind))
    return describe(handler)


def unknown(kind: str) -> str:
    """Return what to say about a type nobody registered."""
    known = [spelling for handler in every_type() for spelling in (handler.type, *_aliases(handler))]
    near = difflib.get_close_matches(kind, known, n=3)
    hint = f"; did you mean {', '.join(map(repr, near))}?" if near else "; /api/nodes/ lists those there are"
    return f"Unknown node type {kind!r}{hint}"


def _actions(key: str) -> list[ActionSpec]:
    """Return the actions of a connector in alphabetical order; none of one that cannot name them."""
    try:
        return sorted(connectors.get(key).actions(), key=lambda spec: spec.name)
    except Exception as error:  # noqa: BLE001 - logged with its traceback
        _tell(key, error)
        return []


def _tell(kind: str, error: Exception) -> None:
    if kind not in _told:
        _told.add(kind)
        logger.error("node_type.broken", exc_info=error, extra={"node_type": kind})


def _aliases(handler: StepHandler) -> list[str]:
    """Return the other spellings of a type, the one with hyphens first."""
    if isinstance(handler, ConnectorStep):
        spellings = [handler.type.replace(".", "-").replace("_", "-")]
    else:
        spellings = [name.replace("_", "-") for name in (handler.type, *handler.aliases)]
        spellings += handler.aliases
    # `http-request` is the step of that name, not the action `http.request`.
    return [name for name in dict.fromkeys(spellings) if name != handler.type and _finds(name, handler)]


def _finds(name: str, handler: StepHandler) -> bool:
    found = find_handler(name)
    return found is not None and found.type == handler.type


def _description(handler: StepHandler) -> str:
    if isinstance(handler, ConnectorStep):
        return handler.spec.description or handler.label
    return (inspect.getdoc(type(handler)) or "").partition("\n\n")[0].replace("\n", " ")


def _category(handler: StepHandler) -> str:
    if isinstance(handler, ConnectorStep):
        return handler.connector.display_name or handler.connector.key
    if handler.is_loop or handler.ends_iteration:
        return "Loops"
    if handler.routes or type(handler).routes_of is not StepHandler.routes_of:
        return "Flow"
    return "Data" if handler.effect is Effect.PURE else "Actions"
