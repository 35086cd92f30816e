"""What must hold after any chaos, as one SQL query each: a query's rows are the violations.

The queries run when everything had time to settle (twice the lease). `%(lease)s` is the lease in seconds. The
ledger's counts are put into `chaos_ledger` first; triggers note every fall of a lease epoch, and every place given
over a limit, as it happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from automate_core import sql

PREPARE = (
    """
CREATE TABLE IF NOT EXISTS chaos_ledger (
  mode text, execution uuid, step text, keys int, requests int, effects int,
  PRIMARY KEY (mode, execution, step))
""",
    "CREATE TABLE IF NOT EXISTS chaos_noted (execution uuid, step text)",
    "CREATE TABLE IF NOT EXISTS chaos_epoch_fall (item bigint, was bigint, became bigint)",
    """
CREATE OR REPLACE FUNCTION chaos_note_epoch_fall() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO chaos_epoch_fall VALUES (OLD.id, OLD.lease_epoch, NEW.lease_epoch);
  RETURN NULL;
END $$
""",
    """
CREATE OR REPLACE TRIGGER chaos_epoch_fall AFTER UPDATE ON automate_core_outboxitem FOR EACH ROW
WHEN (NEW.lease_epoch < OLD.lease_epoch) EXECUTE FUNCTION chaos_note_epoch_fall()
""",
    "CREATE TABLE IF NOT EXISTS chaos_over_limit (execution uuid, key text, open int, most int)",
    """
CREATE OR REPLACE FUNCTION chaos_note_over_limit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO chaos_over_limit
  SELECT NEW.id, NEW.key, placed.open, (v.graph #>> '{settings,concurrency,limit}')::int
  FROM automate_automation a JOIN automate_workflowversion v ON v.id = a.live_version_id
  CROSS JOIN LATERAL (
    SELECT count(*) AS open FROM automate_execution x WHERE x.automation_id = a.id AND x.key = NEW.key
      AND x.finished_at IS NULL AND x.held_at IS NULL) placed
  WHERE a.id = NEW.automation_id AND placed.open > (v.graph #>> '{settings,concurrency,limit}')::int;
  RETURN NULL;
END $$
""",
    """
CREATE OR REPLACE TRIGGER chaos_over_limit AFTER UPDATE OF held_at ON automate_execution FOR EACH ROW
WHEN (OLD.held_at IS NOT NULL AND NEW.held_at IS NULL AND NEW.finished_at IS NULL)
EXECUTE FUNCTION chaos_note_over_limit()
""",
)

INVARIANTS: dict[str, str] = {
    "an event nobody dispatched waits for a future time or is a dead letter": """
SELECT 'event ' || (o.payload ->> 'event_id') || ' waits since ' || o.available_at
FROM automate_core_outboxitem o
WHERE o.kind = 'event' AND o.status <> 'FAILED'
  AND o.available_at < clock_timestamp() - make_interval(secs => 2 * %(lease)s)
""",
    "an event with a matching trigger has an execution or its outbox item": """
SELECT 'event ' || e.id || ' (' || e.type || ') started nothing'
FROM automate_event e
JOIN automate_trigger t ON t.tenant_id = e.tenant_id AND t.is_enabled AND t.rule IS NULL
  AND t.event_type = e.type AND t.source IN ('', e.source) AND t.created_at < e.created_at
JOIN automate_automation a ON a.id = t.automation_id AND a.enabled
WHERE e.pruned_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM automate_execution x WHERE x.event_id = e.id AND x.automation_id = a.id)
  AND NOT EXISTS (SELECT 1 FROM automate_core_outboxitem o
                  WHERE o.kind = 'event' AND o.payload ->> 'event_id' = e.id::text)
""",
    "an unfinished execution has an outbox item that carries it on, or waits for an answer, a place or a person": """
SELECT 'execution ' || x.id || ' is ' || x.status || ' and nothing will run it'
FROM automate_execution x
WHERE x.finished_at IS NULL AND x.paused_at IS NULL AND x.held_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM automate_core_outboxitem o WHERE o.kind = 'execution' AND o.status <> 'FAILED'
                  AND o.payload ->> 'execution_id' = x.id::text)
  AND (NOT EXISTS (SELECT 1 FROM automate_steprun s WHERE s.execution_id = x.id AND s.status = 'WAITING'
                   AND s.wake_event IS NOT NULL AND s.answer IS NULL)
       OR EXISTS (SELECT 1 FROM automate_steprun s WHERE s.execution_id = x.id AND s.status IN ('WAITING', 'FAILED')
                  AND s.wake_at IS NOT NULL AND NOT EXISTS (
                    SELECT 1 FROM automate_steprun l
                    WHERE l.execution_id = x.id AND l.path = s.path AND l.attempt > s.attempt)))
""",
    "an answered step goes on": """
SELECT 'step ' || s.path || ' of ' || x.id || ' has its answer and nothing will take it'
FROM automate_execution x JOIN automate_steprun s ON s.execution_id = x.id
WHERE x.finished_at IS NULL AND x.paused_at IS NULL AND s.status = 'WAITING' AND s.answer IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM automate_core_outboxitem o WHERE o.kind = 'execution' AND o.status <> 'FAILED'
                  AND o.payload ->> 'execution_id' = x.id::text)
""",
    "nobody is held while its key has a free place": """
SELECT 'execution ' || x.id || ' is held since ' || x.held_at || ' though ' || placed.open || ' with the key '
  || coalesce(quote_literal(x.key), 'NULL') || ' are open of ' || coalesce(allowed.most::text, 'any number')
FROM automate_execution x JOIN automate_automation a ON a.id = x.automation_id
LEFT JOIN automate_workflowversion v ON v.id = a.live_version_id
CROSS JOIN LATERAL (SELECT (v.graph #>> '{settings,concurrency,limit}')::int AS most) allowed
CROSS JOIN LATERAL (
  SELECT count(*) AS open FROM automate_execution p WHERE p.automation_id = x.automation_id AND p.key = x.key
    AND p.finished_at IS NULL AND p.held_at IS NULL) placed
WHERE x.held_at IS NOT NULL AND x.finished_at IS NULL
  AND placed.open < coalesce(allowed.most, placed.open + 1)
  AND NOT EXISTS (SELECT 1 FROM automate_core_outboxitem o WHERE o.kind = 'admit' AND o.status <> 'FAILED'
                  AND o.payload ->> 'automation_id' = x.automation_id::text AND o.payload ->> 'key' = x.key)
  AND NOT EXISTS (SELECT 1 FROM automate_execution e JOIN automate_core_outboxitem o
                    ON o.kind = 'finished' AND o.status <> 'FAILED' AND o.payload ->> 'execution_id' = e.id::text
                  WHERE e.automation_id = x.automation_id AND e.key = x.key)
""",
    "a place under a limit is given only when one is free": """
SELECT 'execution ' || execution || ' was let in as number ' || open || ' of ' || most || ' with the key ' || key
FROM chaos_over_limit
""",
    "every finished child's parent step is answered": """
SELECT 'step ' || s.path || ' of ' || s.execution_id || ' waits for ' || c.id || ', which ended ' || c.status
FROM automate_execution c JOIN automate_execution x ON x.id = c.parent_execution_id AND x.finished_at IS NULL
JOIN automate_steprun s ON s.execution_id = x.id AND s.path = c.parent_path
WHERE c.finished_at IS NOT NULL AND s.status = 'WAITING' AND s.answer IS NULL
  AND coalesce(s.output_data ->> 'execution_id', c.id::text) = c.id::text
  AND NOT EXISTS (SELECT 1 FROM automate_core_outboxitem o WHERE o.kind = 'finished' AND o.status <> 'FAILED'
                  AND o.payload ->> 'execution_id' = c.id::text)
""",
    "an unfinished execution is not overdue": """
SELECT 'execution ' || x.id || ' is ' || x.status || ', its item ' || o.status || ' since ' || o.available_at
FROM automate_execution x JOIN automate_core_outboxitem o
  ON o.kind = 'execution' AND o.payload ->> 'execution_id' = x.id::text
WHERE x.finished_at IS NULL AND o.status = 'PENDING'
  AND o.available_at < clock_timestamp() - make_interval(secs => 2 * %(lease)s)
""",
    "no lease is older than twice the lease": """
SELECT 'item ' || id || ' held by ' || lease_owner || ' since ' || lease_renewed_at
FROM automate_core_outboxitem
WHERE status = 'CLAIMED' AND lease_renewed_at < clock_timestamp() - make_interval(secs => 2 * %(lease)s)
""",
    "an event starts an automation's trigger once": """
SELECT 'event ' || event_id || ' started trigger ' || trigger_id || ' ' || count(*) || ' times'
FROM automate_execution WHERE replay_of_id IS NULL AND event_id IS NOT NULL AND trigger_id IS NOT NULL
GROUP BY event_id, trigger_id HAVING count(*) > 1
""",
    "a step succeeds at most once": """
SELECT 'step ' || path || ' of ' || execution_id || ' succeeded ' || count(*) || ' times'
FROM automate_steprun WHERE status = 'SUCCESS' GROUP BY execution_id, path HAVING count(*) > 1
""",
    "a successful execution has only finished steps": """
SELECT 'step ' || s.path || ' of ' || x.id || ' is ' || s.status
FROM automate_execution x JOIN automate_steprun s ON s.execution_id = x.id
WHERE x.status = 'SUCCESS' AND s.status NOT IN ('SUCCESS', 'SKIPPED', 'FAILED', 'CANCELLED')
""",
    "a successful execution's steps ended well or their failure was handled": """
SELECT 'step ' || s.path || ' of ' || x.id || ' ended ' || s.status || ' ' || s.error_code
FROM automate_execution x JOIN automate_steprun s ON s.execution_id = x.id
WHERE x.status = 'SUCCESS' AND s.status IN ('FAILED', 'CANCELLED')
  AND NOT (s.status = 'FAILED' AND s.route IN ('error', 'continue'))
  AND NOT EXISTS (SELECT 1 FROM automate_steprun l
                  WHERE l.execution_id = x.id AND l.path = s.path AND l.attempt > s.attempt)
  AND NOT EXISTS (SELECT 1 FROM automate_steprun i  -- it is in an iteration that failed, or was left
                  WHERE i.execution_id = x.id AND i.path LIKE '%%]' AND starts_with(s.path, i.path || '/')
                    AND (i.status = 'FAILED' OR (s.status = 'CANCELLED' AND i.route IN ('break', 'continue'))))
  AND NOT EXISTS (SELECT 1 FROM automate_steprun l  -- it is an iteration: its loop says what that means
                  WHERE l.execution_id = x.id AND s.path LIKE '%%]'
                    AND l.path = regexp_replace(s.path, '\\[[0-9]+\\]$', '')
                    AND (l.status = 'FAILED' OR (l.output_data ->> 'failed')::int > 0))
""",
    "a loop that succeeded counts what became of its iterations": """
SELECT 'loop ' || l.path || ' of ' || l.execution_id || ' counts ' || l.output_data || ' and has ' || i.ended
  || ' ended iterations, of which ' || i.failed || ' failed'
FROM automate_steprun l CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE s.status IN ('SUCCESS', 'FAILED')) AS ended,
    count(*) FILTER (WHERE s.status = 'FAILED') AS failed, count(*) FILTER (WHERE s.route = 'break') AS breaks
  FROM automate_steprun s WHERE s.execution_id = l.execution_id AND starts_with(s.path, l.path || '[')
    AND substr(s.path, length(l.path) + 1) ~ '^\\[[0-9]+\\]$') i
WHERE l.node_type = 'for_each' AND l.status = 'SUCCESS' AND l.path NOT LIKE '%%]'
  AND ((l.output_data ->> 'failed')::int <> i.failed
       OR (i.breaks = 0 AND (l.output_data ->> 'count')::int <> i.ended))
""",
    "a finished execution has no call without an outcome": """
SELECT 'step ' || s.path || ' of ' || x.id || ' (' || x.status || ') is still RUNNING'
FROM automate_execution x JOIN automate_steprun s ON s.execution_id = x.id
WHERE x.finished_at IS NOT NULL AND s.status = 'RUNNING'
""",
    "a lease epoch never falls": """
SELECT 'item ' || item || ' fell from epoch ' || was || ' to ' || became FROM chaos_epoch_fall
""",
    "no item is claimed more often than allowed": """
SELECT 'item ' || id || ' was claimed ' || attempts || ' times of ' || max_attempts
FROM automate_core_outboxitem WHERE attempts > max_attempts
""",
    "no row refers to another tenant's": """
SELECT 'execution ' || x.id || ' and its automation' FROM automate_execution x
  JOIN automate_automation a ON a.id = x.automation_id WHERE a.tenant_id <> x.tenant_id
UNION ALL SELECT 'execution ' || x.id || ' and its event' FROM automate_execution x
  JOIN automate_event e ON e.id = x.event_id WHERE e.tenant_id <> x.tenant_id
UNION ALL SELECT 'execution ' || x.id || ' and its version' FROM automate_execution x
  JOIN automate_workflowversion v ON v.id = x.version_id WHERE v.tenant_id <> x.tenant_id
UNION ALL SELECT 'execution ' || x.id || ' and its trigger' FROM automate_execution x
  JOIN automate_trigger t ON t.id = x.trigger_id WHERE t.tenant_id <> x.tenant_id
UNION ALL SELECT 'step ' || s.id || ' and its execution' FROM automate_steprun s
  JOIN automate_execution x ON x.id = s.execution_id WHERE x.tenant_id <> s.tenant_id
UNION ALL SELECT 'trigger ' || t.id || ' and its automation' FROM automate_trigger t
  JOIN automate_automation a ON a.id = t.automation_id WHERE a.tenant_id <> t.tenant_id
UNION ALL SELECT 'version ' || v.id || ' and its automation' FROM automate_workflowversion v
  JOIN automate_automation a ON a.id = v.automation_id WHERE a.tenant_id <> v.tenant_id
UNION ALL SELECT 'item ' || o.id || ' and its execution' FROM automate_core_outboxitem o
  JOIN automate_execution x ON o.kind = 'execution' AND x.id::text = o.payload ->> 'execution_id'
  WHERE x.tenant_id <> o.tenant_id
UNION ALL SELECT 'item ' || o.id || ' and its event' FROM automate_core_outboxitem o
  JOIN automate_event e ON o.kind = 'event' AND e.id::text = o.payload ->> 'event_id'
  WHERE e.tenant_id <> o.tenant_id
""",
    "a database step wrote once when it succeeded, else nothing": """
SELECT 'step ' || coalesce(s.path, n.step) || ' of ' || coalesce(s.execution_id, n.execution) || ' wrote '
  || coalesce(n.rows, 0) || ' rows and succeeded ' || coalesce(s.successes, 0) || ' times'
FROM (SELECT execution, step, count(*) AS rows FROM chaos_noted GROUP BY 1, 2) n
FULL JOIN (SELECT execution_id, path, count(*) AS successes FROM automate_steprun
           WHERE node_type = 'chaos_note' AND status = 'SUCCESS' GROUP BY 1, 2) s
  ON s.execution_id = n.execution AND s.path = n.step
WHERE n.rows IS DISTINCT FROM 1 OR s.successes IS DISTINCT FROM 1
""",
    "a repeatable step has one key and took effect once": """
SELECT 'step ' || step || ' of ' || execution || ': ' || keys || ' keys, ' || effects || ' effects'
FROM chaos_ledger WHERE mode = 'idempotent' AND (keys <> 1 OR effects <> 1)
""",
    "a step that must not be repeated took effect at most once": """
SELECT 'step ' || step || ' of ' || execution || ' took effect ' || effects || ' times'
FROM chaos_ledger WHERE mode = 'at_most_once' AND effects > 1
""",
    "a successful call is in the ledger": """
SELECT 'step ' || s.path || ' of ' || s.execution_id || ' is SUCCESS and the ledger knows nothing of it'
FROM automate_steprun s LEFT JOIN chaos_ledger l ON l.execution = s.execution_id AND l.step = s.path
WHERE s.node_type = 'http.request' AND s.status = 'SUCCESS' AND l.execution IS NULL
""",
    "an effect without a success is flagged as of unknown outcome": """
SELECT 'step ' || l.step || ' of ' || l.execution || ' took effect and is '
  || coalesce((SELECT string_agg(s.status || ' ' || s.error_code, ', ' ORDER BY s.attempt) FROM automate_steprun s
               WHERE s.execution_id = l.execution AND s.path = l.step), 'not recorded')
FROM chaos_ledger l
WHERE l.mode = 'at_most_once' AND l.effects > 0 AND NOT EXISTS (
  SELECT 1 FROM automate_steprun s WHERE s.execution_id = l.execution AND s.path = l.step
    AND (s.status = 'SUCCESS' OR s.error_code = 'OUTCOME_UNKNOWN'))
""",
}


def prepare() -> None:
    """Make the tables and the trigger the queries need."""
    for statement in PREPARE:
        sql.execute(statement)


def load_ledger(entries: Sequence[dict[str, Any]]) -> None:
    """Put the ledger's counts where the queries see them, in place of earlier ones."""
    sql.execute("TRUNCATE chaos_ledger")
    names = ("mode", "execution", "step", "keys", "requests", "effects")
    if entries:
        sql.execute(
            "INSERT INTO chaos_ledger SELECT * FROM unnest(%(mode)s::text[], %(execution)s::uuid[], %(step)s::text[],"
            " %(keys)s::int[], %(requests)s::int[], %(effects)s::int[])",
            {name: [entry[name] for entry in entries] for name in names},
        )


def violations(lease_seconds: float) -> list[str]:
    """Return what is violated: the invariant's name and the first rows that show it."""
    found = []
    for name, query in INVARIANTS.items():
        rows = [
            row[0] for row in sql.execute(query, {"lease": lease_seconds} if "%(lease)s" in query else ())
        ]
        if rows:
            more = f" (and {len(rows) - 3} more)" if len(rows) > 3 else ""
            found.append(f"invariant violated: {name}: {'; '.join(rows[:3])}{more}")
    return found
