"""What nodes of a drawn workflow gave: when they were tried out alone, else when the workflow last ran."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from automate.enums import StepStatus
from automate.models import Automation, Execution, StepRun
from automate_studio.canvas import graph_edit, node_data


def outputs_of(automation: Automation, node_ids: Iterable[str]) -> dict[str, Any]:
    """Return the outputs of those of these nodes that gave any, by node id.

    What a node gave when it was tried out alone comes first, then the newest execution of the workflow. Of a node in
    a loop it is what its last iteration gave; of the loop, what it gave when it was over.
    """
    wanted = list(node_ids)
    tried = {key: data.output_data for key, data in node_data.load_all(automation).items() if key in wanted}
    missing = [node_id for node_id in wanted if node_id not in tried]
    newest = newest_execution(automation)
    if newest is None or not missing:
        return tried
    # The record of an iteration, `loop[0]`, has the loop's key too.
    ran = (
        StepRun.all_tenants.filter(execution=newest, node_key__in=missing, status=StepStatus.SUCCESS)
        .exclude(path__endswith="]")
        .order_by("node_key", "-id")
        .distinct("node_key")
        .values_list("node_key", "output_data")
    )
    return {**dict(ran), **tried}


def input_of(automation: Automation, graph: graph_edit.Graph, node_id: str) -> dict[str, Any]:
    """Return the outputs of the nodes that lead to this one, by node id; those that gave none are absent."""
    return outputs_of(automation, graph_edit.sources_of(graph, node_id))


def newest_execution(automation: Automation) -> Execution | None:
    """Return the execution of the workflow that was made last, None when it never ran."""
    return Execution.all_tenants.filter(automation=automation).order_by("-created_at", "-id").first()
