"""What the linter is told of the world outside the graph; what is None is not known and not judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """The payload of the last thing that started the workflow, and its name in messages."""

    payload: Mapping[str, Any]
    name: str


@dataclass(frozen=True, slots=True)
class KnownConnection:
    """A stored connection: the connector it is for, and whether it is switched on."""

    connector: str
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the checks may compare a graph with.

    `secrets` are the names stored in the tenant, `connections` its connections by name, and `bound` the connectors
    whose steps use a connection even when they name none; `workflows` are the slugs of its workflows and
    `workflow_ids` their ids.
    """

    sample: Sample | None = None
    secrets: frozenset[str] | None = None
    connections: Mapping[str, KnownConnection] | None = None
    workflows: frozenset[str] | None = None
    workflow_ids: frozenset[str] = frozenset()
    bound: frozenset[str] = field(default=frozenset())


NOTHING = Facts()
