"""The verbs on webhook subscriptions: subscribe, unsubscribe, enable, disable; each is audited."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from django.db import IntegrityError, transaction

from automate.models import WebhookSubscription
from automate.models.subscription import URL_LENGTH
from automate.subscriptions import messages
from automate_core import audit, secrets
from automate_core.context import tenant_scope
from automate_core.errors import Conflict, NotFound, Problem, ValidationFailed
from automate_core.http import OutboundRefused, check_url, guard
from automate_core.models import Tenant, current_tenant_id

MAX_SUBSCRIPTIONS = 500
"""Subscriptions of one tenant: each event may be delivered to all of them."""


class CallbackRefused(ValidationFailed):
    """The callback URL cannot be used."""


class SubscriptionExists(Conflict):
    """There is such a subscription already; unsubscribe first for a new secret."""


class TooManySubscriptions(Conflict):
    """The tenant has as many subscriptions as it may; unsubscribe what is not needed."""


class SubscriptionNotFound(NotFound):
    """There is no such subscription in this tenant."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A new subscription and its secret, which is not shown again."""

    subscription: WebhookSubscription
    secret: str


def checked_callback_url(url: str) -> str:
    """Return the URL as it will be called, checked as every call will check it again.

    Raises:
        CallbackRefused: not https and not on the allow-list, not public, or too long.
    """
    target = called_url(url)
    try:
        check_url(target)
    except OutboundRefused as error:
        raise _refused(error.message) from error
    return target


def called_url(url: str) -> str:
    """Return the URL in the form that is called, without looking its name up; raises CallbackRefused."""
    try:
        target = guard.parse(url)
    except OutboundRefused as error:
        raise _refused(error.message) from error
    if target.scheme != "https" and not guard.is_allowed(guard.host_of(target), guard.port_of(target)):
        raise _refused("Use https; http is for hosts that AUTOMATE['HTTP_ALLOW'] names")
    if len(str(target)) > URL_LENGTH:
        raise _refused(f"Use a URL of at most {URL_LENGTH} characters")
    return str(target)


def subscribe(*, event_type: str, callback_url: str, by: str) -> Subscribed:
    """Deliver every event of a type in the tenant in context to a URL from now on.

    One that was disabled for the same type and URL is replaced.

    Args:
        event_type: type of the events, or a glob such as `order.*`; 1 to 255 characters.
        callback_url: as `checked_callback_url` returned it.
        by: who does it, for the audit entry.

    Raises:
        CallbackRefused: the URL's form is not allowed.
        SubscriptionExists: the same type is delivered to the same URL.
        TooManySubscriptions: the tenant has MAX_SUBSCRIPTIONS.
    """
    url, tenant_id, secret = called_url(callback_url), current_tenant_id(), messages.new_secret()
    try:
        with transaction.atomic():
            # They are counted one after the other.
            Tenant.objects.select_for_update(no_key=True).get(pk=tenant_id)
            mine = WebhookSubscription.all_tenants.filter(tenant_id=tenant_id)
            for replaced in mine.filter(event_type=event_type, callback_url=url, is_enabled=False):
                _delete(replaced, by=by)
            if mine.count() >= MAX_SUBSCRIPTIONS:
                raise TooManySubscriptions()
            made = WebhookSubscription.all_tenants.create(
                tenant_id=tenant_id, event_type=event_type, callback_url=url
            )
            made.refresh_from_db(fields=["created_at"])
            secrets.store(made.secret_name, secret, by=by)
            _record(made, "subscription.created", by=by, after=_facts(made))
    except IntegrityError as error:
        raise SubscriptionExists() from error
    return Subscribed(made, secret)


def find(*, id: UUID | None = None, callback_url: str | None = None) -> list[WebhookSubscription]:
    """Return the tenant's subscription with an id, or those to a URL; raises SubscriptionNotFound for none."""
    mine = WebhookSubscription.all_tenants.filter(tenant_id=current_tenant_id())
    found = (
        mine.filter(id=id) if id is not None else mine.filter(callback_url__in=_spellings(callback_url or ""))
    )
    subscriptions = list(found.order_by("id"))
    if not subscriptions:
        raise SubscriptionNotFound()
    return subscriptions


def unsubscribe(subscription: WebhookSubscription, *, by: str) -> None:
    """Deliver nothing more, what is under way included, and forget the secret."""
    with transaction.atomic(), tenant_scope(subscription.tenant_id):
        _delete(subscription, by=by)


def disable(subscription: WebhookSubscription, *, reason: str, by: str) -> WebhookSubscription:
    """Deliver nothing more until it is enabled; what was promised is dropped when its turn comes."""
    return _switch(subscription, is_enabled=False, reason=reason, action="subscription.disabled", by=by)


def enable(subscription: WebhookSubscription, *, by: str) -> WebhookSubscription:
    """Deliver again what happens from now on."""
    return _switch(subscription, is_enabled=True, reason="", action="subscription.enabled", by=by)


def _switch(
    subscription: WebhookSubscription, *, is_enabled: bool, reason: str, action: str, by: str
) -> WebhookSubscription:
    with transaction.atomic(), tenant_scope(subscription.tenant_id):
        rows = WebhookSubscription.all_tenants.filter(pk=subscription.pk, is_enabled=not is_enabled)
        changed = {
            "is_enabled": is_enabled,
            "disabled_reason": reason,
            **({"failures": 0} if is_enabled else {}),
        }
        if rows.update(**changed):
            after = {"is_enabled": is_enabled, **({"reason": reason} if reason else {})}
            _record(subscription, action, by=by, before={"is_enabled": not is_enabled}, after=after)
    subscription.refresh_from_db()
    return subscription


def _delete(subscription: WebhookSubscription, *, by: str) -> None:
    name, facts, target = subscription.secret_name, _facts(subscription), _target(subscription)
    deleted, _ = WebhookSubscription.all_tenants.filter(pk=subscription.pk).delete()
    if not deleted:
        raise SubscriptionNotFound()
    with suppress(secrets.SecretNotFoundError):
        secrets.delete(name, by=by)
    audit.record(actor=by, action="subscription.deleted", target=target, before=facts)


def _record(subscription: WebhookSubscription, action: str, *, by: str, **states: object) -> None:
    audit.record(actor=by, action=action, target=_target(subscription), **states)


def _target(subscription: WebhookSubscription) -> str:
    return f"subscription:{subscription.id}"


def _facts(subscription: WebhookSubscription) -> dict[str, str]:
    # The host alone: whoever knows the rest of the URL may call it.
    return {
        "event_type": subscription.event_type,
        "host": urlsplit(subscription.callback_url).netloc,
    }


def _spellings(url: str) -> set[str]:
    # What could not be subscribed any more can still be ended.
    try:
        return {url, called_url(url)}
    except CallbackRefused:
        return {url}


def _refused(message: str) -> CallbackRefused:
    return CallbackRefused("The callback URL cannot be used", details=[Problem("callback_url", message)])
