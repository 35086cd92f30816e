"""The first things of a new installation: an administrator, an API key, a demo workflow with its webhook."""

from __future__ import annotations

import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction

from automate import workflows
from automate.models import Automation, WebhookSource
from automate.webhooks import sources
from automate_api.keys import create_key
from automate_api.models import ApiKey
from automate_core import audit
from automate_core.context import tenant_scope
from automate_core.errors import AutomateError
from automate_core.models import DEFAULT_TENANT_ID, Membership, Role
from automate_core.secrets import resolve

SLUG = "demo"
BY = "make run"

GRAPH: dict[str, Any] = {
    "nodes": [
        {
            "id": "summary",
            "type": "transform",
            "config": {
                "output": {
                    "who": "{{ event.payload.sender.login | default('somebody') }}",
                    "what": "{{ event.payload.action | default('did something') }}",
                    "where": "{{ event.payload.repository.full_name | default('somewhere') }}",
                }
            },
        },
        {
            "id": "is_new",
            "type": "condition",
            "config": {"rule": {"==": [{"var": "steps.summary.output.what"}, "opened"]}},
        },
        {
            "id": "welcome",
            "type": "logging",
            "config": {"message": "Welcome {{ steps.summary.output.who }}, thank you for opening this"},
        },
        {
            "id": "note",
            "type": "logging",
            "config": {"message": "{{ steps.summary.output.who }}: {{ steps.summary.output.what }}"},
        },
    ],
    "edges": [
        {"source": "summary", "target": "is_new"},
        {"source": "is_new", "target": "welcome", "source_handle": "true"},
        {"source": "is_new", "target": "note", "source_handle": "false"},
    ],
}


def ensure() -> dict[str, Any]:
    """Make what is missing and return what to announce.

    Returns:
        `password` of the administrator and `api_key`, each only when it was made just now, and `webhook`, the
        slug and secret of the demo source, while it exists. What a person deleted does not come back: the
        demo is only made where there is no workflow at all.
    """
    with transaction.atomic(), tenant_scope(DEFAULT_TENANT_ID):
        password = _ensure_administrator()
        api_key = None
        if not ApiKey.objects.exists():
            _, api_key = create_key(name="first key", tenant_id=DEFAULT_TENANT_ID, role=Role.ADMIN, by=BY)
        if not Automation.objects.exists() and not WebhookSource.all_tenants.filter(slug=SLUG).exists():
            _make_demo()
        return {"password": password, "api_key": api_key, "webhook": _demo_webhook()}


def _ensure_administrator() -> str | None:
    users = get_user_model()._default_manager
    if users.filter(is_superuser=True).exists():
        return None
    password = secrets.token_urlsafe(12)
    user = users.create_superuser(username="admin", email="", password=password)
    Membership.objects.create(tenant_id=DEFAULT_TENANT_ID, user=user, role=Role.ADMIN)
    after = {"username": user.get_username(), "is_superuser": True, "role": str(Role.ADMIN)}
    audit.record(actor=BY, action="user.created", target=f"user:{user.pk}", after=after)
    return password


def _make_demo() -> None:
    sources.create_source(slug=SLUG, preset="github", secret=secrets.token_urlsafe(24), by=BY)
    workflows.create_workflow(
        name="Demo",
        slug=SLUG,
        description="Greets whoever opens an issue. Send it the webhook that `make run` printed.",
        trigger_type="webhook",
        trigger_config={"source": SLUG, "event_type": "*"},
        graph=GRAPH,
        by=BY,
    )


def _demo_webhook() -> dict[str, str] | None:
    source = WebhookSource.objects.filter(slug=SLUG, preset="github", is_enabled=True).first()
    if source is None:
        return None
    try:
        return {"slug": source.slug, "secret": resolve(f"$secret:{source.secret_name}")}
    except AutomateError:
        return None
