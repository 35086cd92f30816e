"""The rows the lists are measured on: 1,000,000 executions and events, and the small tables grown large."""

from __future__ import annotations

from uuid import UUID

from django.db import connection

SECOND_TENANT_ID = UUID("00000000-0000-7000-8000-0000000000b0")
SLUGS = ("big", "daily", "hourly", "small", "tiny")
"""The workflows of each tenant; the shares of its executions are 60, 30, 9, 0.9 and 0.1 percent."""
ONLY_DAILY = "clock.day"
"""The one type of event that starts the workflow `daily`: comes from one source, starts nothing else, never fails."""
LONG_TRACE = "batch"
"""A trace with every hundredth row in it."""
WORKFLOWS = 10_000
VERSIONS = 1_000
APPROVALS = 200_000

_SCALE = """
CREATE TEMPORARY TABLE seeded AS
SELECT i, tenant, at, dice, trace, place,
  CASE WHEN i <= %(rows)s / 1000 THEN 'legacy.import' WHEN place = 1 THEN %(only_daily)s
    WHEN third < 800 THEN 'order.created' WHEN third < 950 THEN 'order.paid' WHEN third < 999 THEN 'user.joined'
    ELSE 'invoice.voided' END AS type,
  CASE place WHEN 0 THEN 'shop' WHEN 1 THEN 'schedule' WHEN 2 THEN 'stripe' WHEN 3 THEN 'crm' ELSE 'audit' END AS source
FROM (
  SELECT *, CASE WHEN other < 600 THEN 0 WHEN other < 900 THEN 1 WHEN other < 990 THEN 2 WHEN other < 999 THEN 3
    ELSE 4 END AS place
  FROM (
    SELECT i, CASE WHEN i %% 10 = 3 THEN %(second)s::uuid ELSE %(first)s::uuid END AS tenant,
      timestamptz '2026-01-01' + i * (interval '300 days' / %(rows)s) AS at,
      abs(hashint4(i::int)) %% 1000 AS dice, abs(hashint4((i + 77777777)::int)) %% 1000 AS other,
      abs(hashint4((i + 555555555)::int)) %% 1000 AS third,
      CASE WHEN i %% 100 = 7 THEN %(long_trace)s ELSE md5('trace' || i) END AS trace
    FROM generate_series(1, %(rows)s) i) drawn) placed;
"""
"""One row every 26 s over 300 days; every tenth belongs to the second tenant."""

_ID = (
    "(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(i %% 4096), 3, '0')"
    " || '8' || substr(md5({salt} || i), 1, 15))::uuid"
)

_EVENTS = f"""
INSERT INTO automate_event (id, tenant_id, type, source, payload, dedupe_key, trace_id, depth, created_at)
SELECT {_ID.format(salt="'e'")}, tenant, type, source,
  jsonb_build_object('order_id', i, 'amount', dice, 'note', repeat('x', 200)), 'delivery-' || i, trace, 0, at
FROM seeded ORDER BY i;
"""
_EXECUTIONS = f"""
INSERT INTO automate_execution (id, tenant_id, automation_id, version_id, event_id, event_type, status, attempt,
  context, priority, trace_id, depth, seq, error_code, error_summary, created_at, started_at, finished_at, pokes,
  parent_path, output)
SELECT {_ID.format(salt="'x'")}, tenant, a.id, a.live_version_id, {_ID.format(salt="'e'")}, type, s.status, 1,
  jsonb_build_object('event_type', type, 'source', source), 0, trace, 0, 4,
  CASE WHEN s.status = 'FAILED' THEN 'TIMEOUT' ELSE '' END, '', at,
  CASE WHEN s.status <> 'QUEUED' THEN at + interval '10 ms' END,
  CASE WHEN s.status IN ('SUCCESS', 'FAILED', 'CANCELLED') THEN at + interval '30 ms' END, 0, '',
  jsonb_build_object('note', repeat('y', 200))
FROM seeded
JOIN (SELECT id, tenant_id, live_version_id,
  row_number() OVER (PARTITION BY tenant_id ORDER BY slug) - 1 AS place FROM automate_automation) a
  ON a.tenant_id = seeded.tenant AND a.place = seeded.place
JOIN LATERAL (SELECT CASE WHEN dice < 960 THEN CASE WHEN i > %(rows)s - 500 THEN 'QUEUED' ELSE 'SUCCESS' END
  WHEN dice < 990 THEN CASE WHEN type = %(only_daily)s THEN 'SUCCESS' ELSE 'FAILED' END
  WHEN dice < 998 THEN 'CANCELLED' WHEN i > %(rows)s - 20000 THEN 'RUNNING'
  ELSE 'WAITING' END AS status) s ON true
ORDER BY i;
"""

_WORKFLOWS = """
INSERT INTO automate_automation (id, tenant_id, name, slug, description, enabled, live_version_id, created_at,
  updated_at)
SELECT gen_random_uuid(), tenant_id, 'Import ' || n, 'import-' || n, '', n %% 10 > 0, live_version_id,
  created_at - n * interval '1 minute', updated_at - n * interval '1 minute'
FROM automate_automation, generate_series(1, %(workflows)s) n WHERE tenant_id = %(first)s AND slug = 'big'
"""
_VERSIONS = """
INSERT INTO automate_workflowversion (id, tenant_id, automation_id, number, graph, trigger_type, trigger_config,
  content_hash, created_at)
SELECT gen_random_uuid(), v.tenant_id, v.automation_id, n, v.graph, v.trigger_type, v.trigger_config, md5(n::text),
  v.created_at
FROM automate_workflowversion v JOIN automate_automation a ON a.live_version_id = v.id AND a.slug = 'big'
  CROSS JOIN generate_series(2, %(versions)s) n WHERE a.tenant_id = %(first)s
"""
_APPROVALS = """
INSERT INTO automate_approval (id, tenant_id, execution_id, path, attempt, status, title, message, assignees, voters,
  required, reject_on, created_at, closed_at)
SELECT x.id, x.tenant_id, x.id, 'ask', 1,
  CASE WHEN x.status = 'WAITING' THEN 'PENDING' WHEN x.status = 'FAILED' THEN 'REJECTED' ELSE 'APPROVED' END, 'Pay?',
  '', CASE WHEN x.event_type = %(only_daily)s THEN '{"users": ["lists"], "groups": [], "permission": ""}'::jsonb
    ELSE '{"users": ["ada"], "groups": ["finance"], "permission": ""}'::jsonb END,
  1, 1, 'first', x.created_at, x.finished_at
FROM automate_execution x WHERE x.tenant_id = %(first)s AND x.status IN ('WAITING', 'SUCCESS', 'FAILED')
ORDER BY x.id LIMIT %(approvals)s
"""
_ASKING = """
INSERT INTO automate_steprun (id, tenant_id, execution_id, path, node_key, node_type, attempt, status, effect, seq)
SELECT gen_random_uuid(), p.tenant_id, p.execution_id, p.path, 'ask', 'approval', 1, 'WAITING', 'database', 1
FROM automate_approval p WHERE p.status = 'PENDING'
"""


def seed(rows: int) -> None:
    """Fill a migrated database that holds the five workflows in each of two tenants.

    Args:
        rows: events, and executions; what the other tables get shrinks with them below 1,000,000.
    """
    from automate_core.models import DEFAULT_TENANT_ID

    share = min(1.0, rows / 1_000_000)
    given: dict[str, int | str | UUID] = {
        "rows": rows,
        "first": DEFAULT_TENANT_ID,
        "second": SECOND_TENANT_ID,
        "only_daily": ONLY_DAILY,
        "long_trace": LONG_TRACE,
        "workflows": int(WORKFLOWS * share),
        "versions": int(VERSIONS * share),
        "approvals": int(APPROVALS * share),
    }
    with connection.cursor() as cursor:
        # Rows are made in bulk: what triggers and foreign keys would check one by one is true by construction.
        cursor.execute("SET session_replication_role = replica")
        for statement in (_SCALE, _EVENTS, _EXECUTIONS, _WORKFLOWS, _VERSIONS, _APPROVALS, _ASKING):
            cursor.execute(statement, given)
        cursor.execute("RESET session_replication_role")
        cursor.execute("VACUUM (ANALYZE)")
