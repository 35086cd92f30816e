"""The step `http_request`: the http connector's one action, with a form made for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automate_connectors import validation
from automate_connectors.builtin.http import INPUT_SCHEMA, LONGEST_SECONDS, request_effect
from automate_connectors.steps import CONNECTION_FIELD, action_handler, connection_problems
from automate_core.errors import Problem
from automate_core.steps import Effect, StepContext, StepHandler, StepResult, Wait, step_registry

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_SHARED = (
    "url",
    "headers",
    "query",
    "timeout_seconds",
    "idempotency_header",
    "accept_status",
    "follow_redirects",
)


class HttpRequestStep(StepHandler):
    """Sends one request as `http.request` does; `body` is a text, or anything else and then sent as JSON."""

    type = "http_request"
    label = "HTTP request"
    effect = Effect.AT_MOST_ONCE
    timeout_seconds = LONGEST_SECONDS
    config_schema = {
        "type": "object",
        "required": ["url"],
        "properties": {
            "url": INPUT_SCHEMA["properties"]["url"],
            "method": {"enum": list(METHODS), "default": "GET", "title": "Method", "description": "What to do there."},
            "body": {
                "title": "Body", "description": "A text is sent as it is, anything else as JSON.",
                "x-depends-on": {"method": ["POST", "PUT", "PATCH", "DELETE"]},
            },
            **{name: INPUT_SCHEMA["properties"][name] for name in _SHARED if name != "url"},
            CONNECTION_FIELD: {
                "type": ["string", "null"], "title": "Connection",
                "description": "Name of an http connection, whose base URL and credentials are used.",
            },
        },
        "additionalProperties": False,
    }  # fmt: skip

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with the config whatever its templates turn into."""
        form = {name: value for name, value in config.items() if name != CONNECTION_FIELD}
        return [
            *connection_problems(config),
            *validation.problems_before_rendering(self.config_schema, form),
        ]

    def effect_of(self, config: Mapping[str, Any]) -> Effect:
        """Return whether the request may be repeated."""
        return request_effect(config)

    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult | Wait:
        """Send the request; its answer is the output."""
        action = action_handler("http.request")
        assert action is not None
        return action.run(_as_action(config), context)


def register_request_step() -> None:
    """Register the step of this module."""
    if HttpRequestStep.type not in step_registry:
        step_registry.register(HttpRequestStep.type, HttpRequestStep())


def _as_action(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config as the connector's action takes it."""
    given = {name: value for name, value in config.items() if name != "body"}
    body = config.get("body")
    if body is not None and body != "":
        given["body" if isinstance(body, str) else "json"] = body
    return given
