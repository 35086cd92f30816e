"""Keys of limits: the text by which executions or events share a limit, rendered from a template."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from automate_core.templating import Template, TemplateError, compile_template
from automate_core.templating.text import as_text

logger = logging.getLogger(__name__)

MAX_LENGTH = 255


def render_key(template: str, event: Mapping[str, Any]) -> str:
    """Return what a key's template reads from an event; the empty key when it cannot be read there.

    So events without the field share one place under the limit, and none is lost or slips past it.

    Args:
        template: text such as `{{ event.payload.account }}`.
        event: `id`, `type`, `source` and `payload`; the template sees it as `event`, its payload as `input`.
    """
    try:
        value = _compiled(template).render({"event": event, "input": event["payload"]})
        return _fitting(as_text(value))
    except TemplateError as error:
        logger.warning("limits.key_unreadable", extra={"template": template, "error": error.message})
        return ""


@lru_cache(maxsize=2_048)
def _compiled(template: str) -> Template:
    return compile_template(template)


def _fitting(key: str) -> str:
    """Return a key that fits its column: a long one keeps its beginning and gets a digest of the whole."""
    if len(key) <= MAX_LENGTH:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: MAX_LENGTH - len(digest) - 1]}#{digest}"
