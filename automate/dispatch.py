"""Dispatch: match a batch of events with triggers and rules, and make the runs of the automations they start."""

from __future__ import annotations

import fnmatch
import logging
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from automate.enums import ExecutionStatus, TriggerType
from automate.executions.rows import ExecutionRow
from automate.graph import GraphSettings, Plan
from automate.limits import debounce, gate, throttle
from automate.limits.keys import render_key
from automate.limits.refusals import refusals_as_errors
from automate.limits.windows import Candidate, Debounce, Throttle, Window, window_of, window_problems
from automate.rules import CompiledRule, compile_rule
from automate.runtime import plans
from automate.runtime.retry import RetryPolicy
from automate.runtime.run import Run
from automate.runtime.scope import new_scope
from automate.subscriptions import promises
from automate.waits import listeners
from automate_core import sql
from automate_core.errors import AutomateError, ErrorCodes
from automate_core.ids import uuid7
from automate_core.outbox.base import ClaimedItem

logger = logging.getLogger(__name__)

KEEP_TENANTS = 1_000

_EVENTS = f"""
SELECT e.id::text, e.tenant_id::text, e.type, e.source, e.payload::text, e.trace_id, e.depth,
  e.cause_execution_id::text, coalesce(r.revision, 0), {listeners.LISTENED},
  {promises.SUBSCRIBED}
FROM automate_event e LEFT JOIN automate_routingrevision r ON r.tenant_id = e.tenant_id
WHERE e.id = ANY(%(ids)s::uuid[])
"""

_TRIGGERS = """
SELECT t.tenant_id::text, t.id::text, t.type, t.event_type, t.source, t.rule::text, a.id::text, a.live_version_id::text,
  jsonb_build_object('debounce', t.config -> 'debounce', 'throttle', t.config -> 'throttle')::text
FROM automate_trigger t JOIN automate_automation a ON a.id = t.automation_id
WHERE t.tenant_id = ANY(%(tenants)s::uuid[]) AND t.is_enabled AND a.enabled AND a.live_version_id IS NOT NULL
  AND t.type <> 'manual'
ORDER BY t.created_at, t.id
"""


@dataclass(frozen=True, slots=True)
class Route:
    """One enabled trigger and where it leads."""

    trigger_id: str
    automation_id: str
    version_id: str
    source: str
    rule: CompiledRule | None
    window: Window | None = None

    def accepts(self, source: str, context: Mapping[str, Any]) -> bool:
        """Tell whether source and rule agree with an event; a rule that cannot be evaluated is not true."""
        if self.source and self.source != source:
            return False
        if self.rule is None:
            return True
        try:
            return self.rule.evaluate(context)
        except AutomateError as error:
            logger.warning("dispatch.rule_failed", extra={"trigger": self.trigger_id, "error": error.message})
            return False


class Routes:
    """A tenant's triggers, indexed by what they listen to."""

    def __init__(self, revision: int) -> None:
        self.revision = revision
        self._exact: dict[str, list[Route]] = {}
        self._globs: list[tuple[re.Pattern[str], Route]] = []
        self._schedules: dict[str, Route] = {}

    def add(self, kind: str, event_type: str, route: Route) -> None:
        """Index a trigger."""
        if kind == TriggerType.SCHEDULE:
            self._schedules[route.trigger_id] = route
        elif not event_type or any(mark in event_type for mark in "*?["):
            self._globs.append((re.compile(fnmatch.translate(event_type or "*")), route))
        else:
            self._exact.setdefault(event_type, []).append(route)

    def match(self, event: Mapping[str, Any]) -> Iterator[Route]:
        """Yield the routes of an event, each once."""
        kind, source, payload = event["type"], event["source"], event["payload"]
        if source == TriggerType.SCHEDULE:
            fired = self._schedules.get(str(payload.get("trigger_id")))
            if fired is not None:
                yield fired
        context: dict[str, Any] | None = None
        for route in self._candidates(kind):
            if context is None and route.rule is not None:
                context = {**payload, **event, "event": event, "input": payload}
            if route.accepts(source, context or {}):
                yield route

    def _candidates(self, kind: str) -> Iterator[Route]:
        yield from self._exact.get(kind, ())
        for pattern, route in self._globs:
            if pattern.match(kind):
                yield route


@dataclass(frozen=True, slots=True)
class Match:
    """An event, as its item, row and template data, and one route that accepts it."""

    item: ClaimedItem
    row: sql.Row
    event: Mapping[str, Any]
    route: Route

    @property
    def context(self) -> str:
        """The context of an execution it starts, as JSON text."""
        return orjson.dumps({"source": self.row[3], "event_type": self.row[2]}).decode()


_routes: OrderedDict[str, Routes] = OrderedDict()


def forget() -> None:
    """Drop every cached routing table."""
    _routes.clear()


def dispatch(items: Sequence[ClaimedItem], *, policy: RetryPolicy) -> list[tuple[ClaimedItem, list[Run]]]:
    """Return the fresh runs each event item starts; an event nobody listens to starts none.

    Args:
        items: claimed items of kind `event`.
        policy: retry policy of steps that name none.
    """
    ids = [str(item.payload["event_id"]) for item in items]
    events = {row[0]: row for row in sql.execute(_EVENTS, {"ids": ids})}
    _refresh({row[1]: row[8] for row in events.values()})
    matched: list[tuple[ClaimedItem, sql.Row | None, dict[str, Any], list[Route]]] = []
    for item, event_id in zip(items, ids, strict=True):
        row = events.get(event_id)
        if row is None:
            matched.append((item, None, {}, []))
            continue
        event = {"id": row[0], "type": row[2], "source": row[3], "payload": orjson.loads(row[4])}
        matched.append((item, row, event, list(_routes[row[1]].match(event))))
    listeners.tell(
        [listeners.Heard(row[1], event) for _, row, event, _ in matched if row is not None and row[9]]
    )
    promises.promise(
        [
            promises.Told(row[1], row[0], row[2], row[5])
            for _, row, _, _ in matched
            if row is not None and row[10]
        ]
    )
    found = [
        Match(item, row, event, route)
        for item, row, event, routes in matched
        if row is not None
        for route in routes
    ]
    live = plans.load({match.route.version_id for match in found})
    runs: dict[int, list[Run]] = {item.id: [] for item in items}
    newcomers: list[gate.Newcomer] = []
    for match in _after_windows(found):
        plan = live[match.route.version_id]
        wanted = plan.plan.settings if plan.plan else GraphSettings()
        key = gate.key_of(wanted, match.route.automation_id, match.event)
        if key is None:
            runs[match.item.id].append(_begin(match, plan, wanted.priority, policy))
        else:
            newcomers.append(_newcomer(match, wanted.priority, key))
    with refusals_as_errors():
        gate.store(newcomers)
    return [(item, runs[item.id]) for item in items]


def _after_windows(matches: list[Match]) -> list[Match]:
    """Return the matches that start something now, after debounced and throttled triggers had their say."""
    if not any(match.route.window for match in matches):
        return matches
    gathered: list[tuple[Candidate, Debounce]] = []
    counted: list[tuple[Candidate, Throttle]] = []
    for match in matches:
        window = match.route.window
        if window is None:
            continue
        candidate = Candidate(
            tenant_id=match.row[1],
            trigger_id=match.route.trigger_id,
            event_id=match.row[0],
            key=render_key(window.key, match.event),
        )
        if isinstance(window, Debounce):
            gathered.append((candidate, window))
        else:
            counted.append((candidate, window))
    with refusals_as_errors():
        debounce.absorb(gathered)
        passed = throttle.sift(counted)
    return [
        match
        for match in matches
        if match.route.window is None or (match.route.trigger_id, match.row[0]) in passed
    ]


def _begin(match: Match, live: plans.LivePlan, priority: int, policy: RetryPolicy) -> Run:
    row = match.row
    execution = ExecutionRow(
        id=str(uuid7()), tenant_id=row[1], automation_id=match.route.automation_id, version_id=match.route.version_id,
        event_id=row[0], event_type=row[2], trigger_id=match.route.trigger_id,
        status=ExecutionStatus.RUNNING.value, context=match.context, trace_id=row[5], cause_execution_id=row[7],
        depth=row[6], priority=priority,
    )  # fmt: skip
    scope = new_scope(event=match.event, row=execution, workflow=live.workflow)
    run = Run(plan=live.plan or Plan((), ()), row=execution, scope=scope, policy=policy, fresh=True)
    if live.plan is None:
        run.row.error_code, run.row.error_summary = ErrorCodes.VALIDATION_ERROR.value, live.error
    return run


def _newcomer(match: Match, priority: int, key: str) -> gate.Newcomer:
    row = match.row
    return gate.Newcomer(
        id=str(uuid7()), tenant_id=row[1], automation_id=match.route.automation_id, version_id=match.route.version_id,
        event_id=row[0], event_type=row[2], trigger_id=match.route.trigger_id, context=match.context,
        trace_id=row[5], cause_execution_id=row[7], depth=row[6], priority=priority, key=key,
    )  # fmt: skip


def _refresh(revisions: Mapping[str, int]) -> None:
    """Reload the routing tables of tenants whose revision moved."""
    stale = [
        tenant_id
        for tenant_id, revision in revisions.items()
        if (held := _routes.get(tenant_id)) is None or held.revision != revision
    ]
    if stale:
        # Kept only when complete: with a table left empty by a lost connection, events would start nothing.
        fresh = {tenant_id: Routes(revisions[tenant_id]) for tenant_id in stale}
        for (
            tenant_id,
            trigger_id,
            kind,
            event_type,
            source,
            rule,
            automation_id,
            version_id,
            windows,
        ) in sql.execute(_TRIGGERS, {"tenants": stale}):
            try:
                compiled = compile_rule(orjson.loads(rule)) if rule not in (None, "null") else None
            except AutomateError as error:
                logger.warning("dispatch.rule_invalid", extra={"trigger": trigger_id, "error": error.message})
                continue
            config = orjson.loads(windows)
            if problems := window_problems(config):
                logger.warning(
                    "dispatch.window_invalid", extra={"trigger": trigger_id, "error": problems[0].message}
                )
                continue
            window = window_of(config)
            route = Route(trigger_id, automation_id, version_id, source, compiled, window)
            fresh[tenant_id].add(kind, event_type, route)
        _routes.update(fresh)
    for tenant_id in revisions:
        _routes.move_to_end(tenant_id)
    while len(_routes) > max(KEEP_TENANTS, len(revisions)):
        _routes.popitem(last=False)
