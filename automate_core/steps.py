"""The contract of a step: what a node's handler declares and how it is run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from automate_core.errors import Problem
from automate_core.live import SILENT, Live
from automate_core.registry import Registry


class Effect(StrEnum):
    """What running a step does to the world; it decides when the step's record is committed.

    PURE          no I/O; recorded with the next commit; may run again after a crash, unnoticed.
    DATABASE      ORM writes that commit together with the step's record: exactly once.
    IDEMPOTENT    may be called again with the same key; retried automatically.
    AT_MOST_ONCE  intent is committed before the call; a crash in between is OUTCOME_UNKNOWN.
    """

    PURE = "pure"
    DATABASE = "database"
    IDEMPOTENT = "idempotent"
    AT_MOST_ONCE = "at_most_once"


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a running step may know about where it runs.

    `scope` is the plain data templates see (event, input, variables, steps, execution, workflow).
    `idempotency_key` is sha256(execution id, step path) in hex: the same for every attempt.
    `prepared` is whatever the handler's `prepare` returned for this node. Where branches join, `arrived` and
    `missing` name the nodes whose edges were taken and those that did not, or not yet, arrive. `live` says things
    to those who watch the step run.
    """

    tenant_id: UUID
    execution_id: UUID
    path: str
    attempt: int
    idempotency_key: str
    trace_id: str
    scope: Mapping[str, Any]
    prepared: Any = None
    timeout_seconds: float = 30.0
    arrived: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    live: Live = SILENT


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step produced: its output, the edge handle it leaves by, and variables it sets."""

    output: Any = None
    route: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wait:
    """Returned by a step that is not done: wake it after `seconds` or at `until`, holding no worker.

    When the time has come the step succeeds with `output`. When it `awaits` an answer, only the answer makes it
    succeed, and the time, if one is given, is its deadline: the step then leaves by the route `timeout`, or fails
    with TIMEOUT where no edge leaves by it.

    `token_hash` (hex sha256) lets whoever presents the token answer; `event_type` (a glob) and `rule` (JSONLogic
    over the event) let an event answer. Either implies `awaits`; without them the answer is addressed to the
    execution and path.
    """

    seconds: float | None = None
    until: datetime | None = None
    output: Any = None
    awaits: bool = False
    token_hash: str | None = None
    event_type: str | None = None
    rule: Any = None

    @property
    def awaits_answer(self) -> bool:
        """Whether only an answer makes the step succeed."""
        return self.awaits or self.token_hash is not None or self.event_type is not None


class StepHandler(ABC):
    """One kind of node. Subclass it and register the class's instance in `AppConfig.ready`.

    `aliases` are further names of the type; hyphens and underscores are one in all of them. `config_schema` is also
    the form of the node: `title`, `description`, `default` and `enum` of its properties are what people see.
    `raw_fields` names config fields that are not templates (a rule, say); everything else in the
    config is rendered before `run` sees it. `routes` are the handles its edges may leave by; an edge without a
    handle is taken whatever the route, except for `side_routes` (and for `error` and `timeout`). `is_consent` says
    that its outcome is what people said to the data they were shown: a replay with another input asks them again.
    """

    type: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    label: ClassVar[str] = ""
    effect: ClassVar[Effect] = Effect.AT_MOST_ONCE
    config_schema: ClassVar[Mapping[str, Any]] = {"type": "object"}
    raw_fields: ClassVar[frozenset[str]] = frozenset()
    routes: ClassVar[Sequence[str]] = ()
    side_routes: ClassVar[frozenset[str]] = frozenset()
    route_aliases: ClassVar[Mapping[str, str]] = {}
    is_loop: ClassVar[bool] = False
    ends_iteration: ClassVar[bool] = False
    gives_output: ClassVar[bool] = False
    is_consent: ClassVar[bool] = False
    timeout_seconds: ClassVar[float] = 30.0

    def problems(self, config: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with a node's config; `field` is relative to the config."""
        return []

    def effect_of(self, config: Mapping[str, Any]) -> Effect:
        """Return the effect class of a node with this config (a GET is not a POST)."""
        return self.effect

    def routes_of(self, config: Mapping[str, Any]) -> Sequence[str]:
        """Return the handles the edges of a node with this config may leave by."""
        return self.routes

    def arrivals(self, config: Mapping[str, Any]) -> int | None:
        """Return how many arriving edges make a node with this config ready; None waits for all that can come."""
        return None

    def prepare(self, config: Mapping[str, Any]) -> Any:
        """Compile the raw fields once per workflow version; the value reaches `run` as `context.prepared`."""
        return None

    @abstractmethod
    def run(self, config: Mapping[str, Any], context: StepContext) -> StepResult | Wait:
        """Do the step with its rendered config. Raise TransientError or PermanentError on failure."""

    def run_alone(
        self, config: Mapping[str, Any], context: StepContext, state: dict[str, Any]
    ) -> StepResult | Wait:
        """Do the step outside an execution, for somebody who tries the node out.

        Override it where `run` leans on the execution around it. `state` is kept between the calls of one session;
        it holds JSON and may be changed.
        """
        return self.run(config, context)


step_registry: Registry[StepHandler] = Registry("step type")


def find_step(kind: str) -> StepHandler | None:
    """Return the registered handler of a node type, whichever of its names and spellings is used."""
    if kind in step_registry:
        return step_registry.get(kind)
    wanted = folded(kind)
    for name in step_registry:
        handler = step_registry.get(name)
        if wanted in map(folded, (name, *handler.aliases)):
            return handler
    return None


def folded(kind: str) -> str:
    """Return what all spellings of a node type have in common."""
    return kind.replace("-", "_")
