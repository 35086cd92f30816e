"""What a node was last tried out with and what came of it: kept, read and forgotten here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models.functions import Now

from automate.models import Automation
from automate_core.redaction import redactor
from automate_core.revealed import revealed_secrets
from automate_studio.models import NodeData


def save(
    automation: Automation,
    node_id: str,
    *,
    form_values: Mapping[str, Any],
    input_data: Any,
    output_data: Any,
) -> NodeData:
    """Keep what a node was run with and what it returned, in place of what was kept before.

    Secrets are taken out before anything is stored.

    Args:
        automation: the workflow the node is drawn in.
        node_id: id of the node in the drawn graph.
        form_values: the node's config as it was filled in.
        input_data: what came from the nodes before it, JSON.
        output_data: what it returned, JSON.
    """
    clean = redactor(revealed_secrets())
    kept = {
        "form_values": clean.redact(dict(form_values)),
        "input_data": clean.redact(input_data),
        "output_data": clean.redact(output_data),
        "updated_at": Now(),
    }
    data, _ = NodeData.all_tenants.update_or_create(
        automation=automation,
        node_id=node_id,
        defaults=kept,
        create_defaults={**kept, "tenant_id": automation.tenant_id},
    )
    return data


def load(automation: Automation, node_id: str) -> NodeData | None:
    """Return what is kept of a node, None when it was never run alone."""
    return NodeData.all_tenants.filter(automation=automation, node_id=node_id).first()


def load_all(automation: Automation) -> dict[str, NodeData]:
    """Return what is kept of the workflow's nodes, by node id."""
    return {data.node_id: data for data in NodeData.all_tenants.filter(automation=automation)}


def forget(automation: Automation, node_ids: Iterable[str]) -> None:
    """Drop what is kept of these nodes."""
    NodeData.all_tenants.filter(automation=automation, node_id__in=list(node_ids)).delete()
