"""The `slack` connector: messages, with a bot token or through an incoming webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from automate_connectors.base import ActionSpec, Connector
from automate_connectors.builtin.answers import raise_for_status
from automate_core.errors import PermanentError, Problem, TransientError
from automate_core.http import request

DEFAULT_BASE_URL = "https://slack.com/api"

# Errors that may pass (https://api.slack.com/methods/chat.postMessage), and whether the message can have been
# posted all the same: only a rate limit says that it was not.
_TRANSIENT = {"ratelimited": False, "rate_limited": False, "internal_error": None, "fatal_error": None,
              "service_unavailable": None, "request_timeout": None}  # fmt: skip

INPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "channel": {
            "type": "string", "minLength": 1, "maxLength": 200, "title": "Channel",
            "description": "Name or id of the channel; a webhook has its own.",
        },
        "message": {
            "type": "string", "minLength": 1, "maxLength": 40_000, "title": "Message", "description": "What to say.",
        },
        "text": {
            "type": "string", "minLength": 1, "maxLength": 40_000, "title": "Text",
            "description": "The same as message, under Slack's name.",
        },
        "blocks": {
            "type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": 50, "title": "Blocks",
            "description": "Slack's Block Kit blocks.",
        },
        "thread_ts": {
            "type": "string", "minLength": 1, "maxLength": 50, "title": "Thread",
            "description": "Time stamp of the message to reply to.",
        },
    },
    "anyOf": [{"required": ["message"]}, {"required": ["text"]}, {"required": ["blocks"]}],
    "additionalProperties": False,
}  # fmt: skip
OUTPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"ok": {"const": True}, "channel": {"type": "string"}, "ts": {"type": "string"}},
    "required": ["ok"],
}


class SlackConnector(Connector):
    """Slack. The connection holds `bot_token` or `webhook_url`, both as secret references."""

    key = "slack"
    display_name = "Slack"
    requires_connection = True
    host_fields = frozenset({"base_url"})
    connection_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "bot_token": {"type": "string", "minLength": 1},
            "webhook_url": {"type": "string", "pattern": r"^\$"},
            "base_url": {"type": "string", "minLength": 1},
        },
        "additionalProperties": False,
    }

    @classmethod
    def actions(cls) -> list[ActionSpec]:
        """Return the one action: send a message."""
        return [
            ActionSpec(
                name="send_message",
                label="Send a Slack message",
                description="Post `message`, `text` or `blocks` to `channel`; a webhook has its own channel.",
                input_schema=INPUT_SCHEMA,
                output_schema=OUTPUT_SCHEMA,
            )
        ]

    def execute_action(self, action: str, input_data: dict[str, Any]) -> dict[str, Any]:
        """Post a message; at most once, for Slack does not recognise a repeated call."""
        if action != "send_message":
            raise PermanentError(f"The slack connector has no action {action!r}; use 'send_message'")
        message: dict[str, Any] = {
            key: input_data[key] for key in ("channel", "blocks", "thread_ts") if key in input_data
        }
        if text := input_data.get("message") or input_data.get("text"):
            message["text"] = text
        if token := self.config.get("bot_token"):
            return self._post_message(token, message)
        if url := self.config.get("webhook_url"):
            return self._post_to_webhook(url, message)
        raise PermanentError("The slack connection has neither bot_token nor webhook_url; add one to it")

    def _post_message(self, token: str, message: dict[str, Any]) -> dict[str, Any]:
        if "channel" not in message:
            raise PermanentError(
                "A message sent with a bot token needs a channel",
                details=[Problem("channel", "This field is required")],
            )
        base_url = str(self.config.get("base_url") or DEFAULT_BASE_URL).rstrip("/")
        response = request(
            "POST",
            f"{base_url}/chat.postMessage",
            headers={"Authorization": f"Bearer {token}"},
            json=message,
            timeout_seconds=self.ctx.timeout_seconds,
            follow_redirects=False,
        )
        raise_for_status(response)
        answer = response.json()
        if not isinstance(answer, dict) or answer.get("ok") is not True:
            error = str(
                answer.get("error", "unknown_error") if isinstance(answer, dict) else "unknown_error"
            )[:100]
            if error in _TRANSIENT:
                raise TransientError(f"Slack answered {error!r}", performed=_TRANSIENT[error])
            raise PermanentError(f"Slack refused the message: {error!r}")
        return {"ok": True} | {
            key: answer[key] for key in ("channel", "ts") if isinstance(answer.get(key), str)
        }

    def _post_to_webhook(self, url: str, message: dict[str, Any]) -> dict[str, Any]:
        response = request(
            "POST", url, json=message, timeout_seconds=self.ctx.timeout_seconds, follow_redirects=False
        )
        raise_for_status(response)
        if not 200 <= response.status < 300:
            raise PermanentError(f"The webhook answered with status {response.status}; check its URL")
        return {"ok": True}
