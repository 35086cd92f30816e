"""The database's side of model triggers: PL/pgSQL functions that store events as `automate.emission` does.

They work on the rows of a whole statement at once. They run with the rights of whoever installed them, so that every
role that may write a table tells of its changes, and in that user's schema.
"""

from __future__ import annotations

from automate_core.outbox.statements import TABLE as OUTBOX

VERSION = 1
"""Raised when the functions change; triggers made for an earlier version are outdated."""

OPERATIONS = {
    "created": ("INSERT", "NEW TABLE AS new_rows"),
    "updated": ("UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    "deleted": ("DELETE", "OLD TABLE AS old_rows"),
}
"""What each change is to the database, and the rows its trigger is shown."""

# UUIDv7 as automate_core.ids makes it (RFC 9562, section 5.7): milliseconds, 12 bits of their fraction, the variant
# and the random bits of a version 4.
_EVENT_ID = """
CREATE OR REPLACE FUNCTION automate_event_id() RETURNS uuid LANGUAGE sql VOLATILE AS $body$
  SELECT (lpad(to_hex(us / 1000), 12, '0') || '7' || lpad(to_hex((us % 1000) * 4096 / 1000), 3, '0')
    || substr(replace(gen_random_uuid()::text, '-', ''), 17))::uuid
  FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS us) AS clock
$body$
"""

_PLAIN_ROW = """
CREATE OR REPLACE FUNCTION automate_plain_row(given jsonb, facts jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $body$
  SELECT coalesce(jsonb_object_agg(coalesce(facts -> 'names' ->> key, key),
    CASE WHEN facts -> 'texts' ? key AND value <> 'null' THEN to_jsonb(value #>> '{}') ELSE value END), '{}')
  FROM jsonb_each(given) WHERE NOT facts -> 'hidden' ? key
$body$
"""

_ROWS = {
    "created": "SELECT to_jsonb(n) AS given, NULL::jsonb AS before FROM new_rows n",
    "updated": """SELECT n.given, o.given AS before
      FROM (SELECT to_jsonb(n) AS given FROM new_rows n) n
      JOIN (SELECT to_jsonb(o) AS given FROM old_rows o) o
        ON o.given ->> (facts ->> 'pk') = n.given ->> (facts ->> 'pk')""",
    "deleted": "SELECT to_jsonb(o) AS given, NULL::jsonb AS before FROM old_rows o",
}

_CHANGED = """
      (SELECT coalesce(jsonb_object_agg(n.key, jsonb_build_object('old', b.object -> n.key, 'new', n.value)), '{}')
       FROM jsonb_each(a.object) n WHERE b.object -> n.key IS DISTINCT FROM n.value)"""

# Tables may be gone when the engine was uninstalled first; the host's own writes go on.
_TOLD = """
CREATE OR REPLACE FUNCTION automate_model_{change}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = {schema}, pg_temp SET timezone = 'UTC' AS $body$
DECLARE
  label text := TG_ARGV[0];
  facts jsonb := TG_ARGV[1];
  cause text[] := string_to_array(nullif(current_setting('automate.cause', true), ''), '|');
  trace text := coalesce(nullif(cause[4], ''), replace(gen_random_uuid()::text, '-', ''));
BEGIN
  IF to_regclass('automate_trigger') IS NULL THEN
    RETURN NULL;
  END IF;
  IF NOT EXISTS (
    SELECT 1 FROM automate_trigger t WHERE t.type = 'model' AND t.is_enabled AND t.config ->> 'model' = label
      AND coalesce(t.config -> 'changes' ? '{change}', true)) THEN
    RETURN NULL;
  END IF;
  IF cause[2]::int > cause[3]::int THEN
    RAISE EXCEPTION 'Event % would be number % in a chain of events and executions; at most % are allowed',
      'model.' || label || '.{change}', cause[2], cause[3];
  END IF;
  WITH wanted AS MATERIALIZED (
    SELECT t.tenant_id, t.config ? 'fields' AS is_narrow,
      ARRAY(SELECT jsonb_array_elements_text(t.config -> 'fields')) AS fields
    FROM automate_trigger t WHERE t.type = 'model' AND t.is_enabled AND t.config ->> 'model' = label
      AND coalesce(t.config -> 'changes' ? '{change}', true)),
  told AS (
    SELECT r.given ->> (facts ->> 'pk') AS pk, a.object, {changed} AS changed,
      coalesce(r.given ->> (facts ->> 'tenant_column'), facts ->> 'tenant')::uuid AS tenant_id
    FROM ({rows}) r
    CROSS JOIN LATERAL (SELECT automate_plain_row(r.given, facts) AS object OFFSET 0) a
    CROSS JOIN LATERAL (SELECT automate_plain_row(r.before, facts) AS object OFFSET 0) b),
  stored AS (
    INSERT INTO automate_event (id, tenant_id, type, source, payload, trace_id, cause_execution_id, depth)
    SELECT automate_event_id(), t.tenant_id, 'model.' || label || '.{change}', 'model',
      jsonb_build_object('model', label, 'change', '{change}', 'pk', t.pk, 'object', t.object)
        || CASE WHEN t.changed IS NULL THEN '{{}}' ELSE jsonb_build_object('changed', t.changed) END,
      trace, cause[1]::uuid, coalesce(cause[2]::int, 0)
    FROM told t WHERE EXISTS (
      SELECT 1 FROM wanted w WHERE w.tenant_id = t.tenant_id
        AND (t.changed IS NULL OR NOT w.is_narrow OR t.changed ?| w.fields))
    RETURNING id, tenant_id)
  INSERT INTO {outbox} (tenant_id, kind, payload, trace_id, max_attempts)
  SELECT tenant_id, 'event', jsonb_build_object('event_id', id), trace, (facts ->> 'max_attempts')::int FROM stored;
  RETURN NULL;
END $body$
"""

DROP = [
    *(f"DROP FUNCTION IF EXISTS automate_model_{change}()" for change in OPERATIONS),
    "DROP FUNCTION IF EXISTS automate_plain_row(jsonb, jsonb)",
    "DROP FUNCTION IF EXISTS automate_event_id()",
]


def create(schema: str) -> list[str]:
    """Return the statements that make the functions.

    Args:
        schema: quoted name of the schema the engine's tables are in.
    """
    told = [
        _TOLD.format(
            change=change,
            schema=schema,
            rows=_ROWS[change],
            changed=_CHANGED if change == "updated" else "NULL::jsonb",
            outbox=OUTBOX,
        )
        for change in OPERATIONS
    ]
    return [_EVENT_ID, _PLAIN_ROW, *told]
