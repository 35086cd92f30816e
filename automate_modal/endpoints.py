"""What may be done to an endpoint: create, change, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from automate_core import audit
from automate_core.endpoints import endpoint_registry
from automate_core.errors import NotFound, Problem, ValidationFailed
from automate_core.models import current_tenant_id
from automate_modal import artifacts
from automate_modal.models import Artifact, Endpoint
from automate_modal.schemas import schema_problems

FIELDS = ("name", "slug", "description", "kind", "config", "input_schema", "enabled")


def create_endpoint(*, by: str, name: str, kind: str, slug: str | None = None, **fields: Any) -> Endpoint:
    """Create an endpoint in the tenant in context.

    Args:
        by: who does it, for the audit trail.
        name: what people call it.
        kind: what runs it; one of the registered kinds.
        slug: unique in the tenant; made from the name when None.
        fields: `description`, `config` (what the kind asks for), `input_schema` (a JSON Schema), `enabled`.

    Raises:
        ValidationFailed: with every wrong field.
    """
    found = problems({"name": name, "kind": kind, "slug": slug, **fields})
    if found:
        raise ValidationFailed.of(found)
    endpoint = Endpoint(
        tenant_id=current_tenant_id(), name=name, kind=kind, slug=slug or _free_slug(name), **fields
    )
    with transaction.atomic():
        _save(endpoint)
        audit.record(
            actor=by, action="endpoint.create", target=f"endpoint:{endpoint.id}", after=_facts(endpoint)
        )
    return endpoint


def change_endpoint(endpoint: Endpoint, *, by: str, **changes: Any) -> Endpoint:
    """Change the fields that are given; jobs under way go on as they began.

    Raises:
        ValidationFailed: with every wrong field.
        NotFound: it was deleted.
    """
    with transaction.atomic():
        held = Endpoint.all_tenants.select_for_update(no_key=True).filter(pk=endpoint.pk).first()
        if held is None:
            raise NotFound(f"Endpoint {endpoint.slug!r} was deleted")
        before = _facts(held)
        found = problems({**before, **changes})
        if found:
            raise ValidationFailed.of(found)
        for name in FIELDS:
            setattr(held, name, changes.get(name, getattr(held, name)))
        _save(held)
        audit.record(
            actor=by,
            action="endpoint.update",
            target=f"endpoint:{held.id}",
            before=before,
            after=_facts(held),
        )
    return held


def delete_endpoint(endpoint: Endpoint, *, by: str) -> None:
    """Delete an endpoint with its jobs and artifacts; what runs goes on without them. Raises NotFound."""
    with transaction.atomic():
        # Jobs that start wait for this, or are deleted with the others.
        if not Endpoint.all_tenants.select_for_update().filter(pk=endpoint.pk).first():
            raise NotFound(f"Endpoint {endpoint.slug!r} was deleted")
        target, before = f"endpoint:{endpoint.id}", _facts(endpoint)
        artifacts.remove_after_commit(Artifact.all_tenants.filter(job__endpoint=endpoint).only("file"))
        endpoint.delete()
        audit.record(actor=by, action="endpoint.delete", target=target, before=before)


def problems(fields: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with the fields of an endpoint; a slug of None is one to be made."""
    found = []
    name, slug, kind = fields["name"], fields["slug"], fields["kind"]
    if not isinstance(name, str) or not name.strip() or len(name) > 200:
        found.append(Problem("name", "must be a text of 1 to 200 characters"))
    if slug is not None and (not isinstance(slug, str) or slugify(slug) != slug or not 1 <= len(slug) <= 100):
        found.append(Problem("slug", "must be 1 to 100 lowercase letters, digits, hyphens or underscores"))
    elif slug is not None and is_id(slug):
        found.append(Problem("slug", "must not look like an id"))
    if kind not in endpoint_registry:
        found.append(Problem("kind", f"is not known; known: {', '.join(endpoint_registry)}"))
    else:
        wrong = endpoint_registry.get(kind).problems(fields.get("config") or {})
        found += [Problem(_join("config", one.field), one.message) for one in wrong]
    schema = fields.get("input_schema")
    if schema is not None:
        found += [Problem(_join("input_schema", one.field), one.message) for one in schema_problems(schema)]
    return found


def is_id(text: str) -> bool:
    """Tell whether a text names an endpoint by its id, not by its slug."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _save(endpoint: Endpoint) -> None:
    try:
        with transaction.atomic():
            endpoint.save()
    except IntegrityError as error:
        problem = Problem("slug", f"{endpoint.slug!r} is already used by another endpoint")
        raise ValidationFailed.of([problem]) from error


def _free_slug(name: str) -> str:
    stem = slugify(name)[:90] or "endpoint"
    if is_id(stem):
        stem = f"endpoint-{stem}"
    taken = set(Endpoint.objects.filter(slug__startswith=stem).values_list("slug", flat=True))
    if stem not in taken:
        return stem
    return next(slug for number in range(2, len(taken) + 3) if (slug := f"{stem}-{number}") not in taken)


def _facts(endpoint: Endpoint) -> dict[str, Any]:
    return {name: getattr(endpoint, name) for name in FIELDS}


def _join(path: str, name: str) -> str:
    if not name or name.startswith("["):
        return path + name
    return f"{path}.{name}"
