"""Lists over 1,000,000 executions and 1,000,000 events: what each documented filter costs the database.

`python -m benchmarks lists` seeds a fresh database and measures; inside Django this module is also the process that
asks, with REST requests of a tenant that owns nine tenths of the rows, and prints the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import django
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client

from benchmarks.measures import Measure, Target
from benchmarks.ours import LOCAL, installation
from benchmarks.plan import Plan
from benchmarks.processes import run

if TYPE_CHECKING:
    from automate.models import Execution

ROWS = 1_000_000
LIMIT_MS = 20.0
SECOND_TENANT_ID = UUID("00000000-0000-7000-8000-0000000000b0")
SLUGS = ("big", "daily", "hourly", "small", "tiny")
"""The workflows of each tenant; the shares of its executions are 60, 30, 9, 0.9 and 0.1 percent."""
GRAPH = {"nodes": [{"id": "log", "type": "logging", "config": {"message": "hello"}}]}

_SCALE = """
CREATE TEMPORARY TABLE seeded AS
SELECT i, CASE WHEN i %% 10 = 3 THEN %(second)s::uuid ELSE %(first)s::uuid END AS tenant,
  timestamptz '2026-01-01' + i * (interval '300 days' / %(rows)s) AS at,
  abs(hashint4(i::int)) %% 1000 AS dice, abs(hashint4((i + 77777777)::int)) %% 1000 AS other,
  abs(hashint4((i + 555555555)::int)) %% 1000 AS third,
  md5('trace' || i) AS trace
FROM generate_series(1, %(rows)s) i;
"""
"""One row every 26 s over 300 days; every tenth belongs to the second tenant."""

_ID = (
    "(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(i %% 4096), 3, '0')"
    " || '8' || substr(md5({salt} || i), 1, 15))::uuid"
)

_EVENTS = f"""
INSERT INTO automate_event (id, tenant_id, type, source, payload, dedupe_key, trace_id, depth, created_at)
SELECT {_ID.format(salt="'e'")}, tenant,
  CASE WHEN i <= %(rows)s / 1000 THEN 'legacy.import' WHEN third < 800 THEN 'order.created'
    WHEN third < 950 THEN 'order.paid' WHEN third < 999 THEN 'user.joined' ELSE 'invoice.voided' END,
  CASE WHEN other < 700 THEN 'shop' WHEN other < 990 THEN 'stripe' WHEN other < 999 THEN 'crm' ELSE 'audit' END,
  jsonb_build_object('order_id', i, 'amount', dice, 'note', repeat('x', 200)), 'delivery-' || i, trace, 0, at
FROM seeded ORDER BY i;
"""
_EXECUTIONS = f"""
INSERT INTO automate_execution (id, tenant_id, automation_id, version_id, event_id, status, attempt, context, priority,
  trace_id, depth, seq, error_code, error_summary, created_at, started_at, finished_at, pokes, parent_path, output)
SELECT {_ID.format(salt="'x'")}, tenant, a.id, a.live_version_id, {_ID.format(salt="'e'")}, s.status, 1,
  jsonb_build_object('event_type', 'order.created', 'source', 'shop'), 0, trace, 0, 4,
  CASE WHEN s.status = 'FAILED' THEN 'TIMEOUT' ELSE '' END, '', at,
  CASE WHEN s.status <> 'QUEUED' THEN at + interval '10 ms' END,
  CASE WHEN s.status IN ('SUCCESS', 'FAILED', 'CANCELLED') THEN at + interval '30 ms' END, 0, '',
  jsonb_build_object('note', repeat('y', 200))
FROM seeded
JOIN LATERAL (SELECT CASE WHEN other < 600 THEN 0 WHEN other < 900 THEN 1 WHEN other < 990 THEN 2 WHEN other < 999
  THEN 3 ELSE 4 END AS place) p ON true
JOIN (SELECT id, tenant_id, live_version_id,
  row_number() OVER (PARTITION BY tenant_id ORDER BY slug) - 1 AS place FROM automate_automation) a
  ON a.tenant_id = seeded.tenant AND a.place = p.place
JOIN LATERAL (SELECT CASE WHEN dice < 960 THEN CASE WHEN i > %(rows)s - 500 THEN 'QUEUED' ELSE 'SUCCESS' END
  WHEN dice < 990 THEN 'FAILED' WHEN dice < 998 THEN 'CANCELLED' WHEN i > %(rows)s - 20000 THEN 'RUNNING'
  ELSE 'WAITING' END AS status) s ON true
ORDER BY i;
"""


def lists(plan: Plan) -> Sequence[Measure]:
    """Lists of 25 out of 1,000,000 executions and events, REST and admin: the database time of a whole request."""
    rows = ROWS if plan.runs > 1 else ROWS // 100
    with installation(plan.server, plan.directory, settings=LOCAL) as ours:
        argv = [
            sys.executable,
            "-m",
            "benchmarks.lists",
            "--rows",
            str(rows),
            "--repeats",
            str(2 * plan.runs + 1),
        ]
        figures = json.loads(
            run(
                argv, env={**ours.env, "AUTOMATE_RATE_STANDARD": "10000000/minute"}, timeout=1800
            ).splitlines()[-1]
        )
    plan.note_load()
    target = Target(LIMIT_MS, at_most=True)
    return [
        Measure(f"list {name}", "ms", runs, target=target, load=plan.loads) for name, runs in figures.items()
    ]


def arguments() -> argparse.ArgumentParser:
    """Describe what the process inside Django understands."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lists", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="executions, and events, to seed (1,000,000)")
    parser.add_argument("--repeats", type=int, default=7, help="requests of each list; the median counts (7)")
    parser.add_argument(
        "--seeded", action="store_true", help="the database of DATABASE_URL is seeded already"
    )
    parser.add_argument(
        "--explain", metavar="PART", help="print the plans of the lists whose name has PART in it"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Seed the database of this Django, ask for every list, print the figures."""
    given = arguments().parse_args(argv)
    django.setup()
    key = _prepare()
    if not given.seeded:
        seed(given.rows)
    figures = {}
    for name, url in _rest_cases(given.rows):
        client = Client(headers={"X-API-Key": key, "Host": "localhost"})
        figures[name] = _measured(client, name, url, given)
    user = get_user_model().objects.get_or_create(username="lists", is_staff=True, is_superuser=True)[0]
    client = Client(headers={"Host": "localhost"})
    client.force_login(user)
    for name, url in _admin_cases(given.rows):
        figures[name] = _measured(client, name, url, given)
    print(json.dumps(figures))


def seed(rows: int) -> None:
    """Fill a migrated database that holds five workflows in each of two tenants with `rows` events and executions."""
    from automate_core.models import DEFAULT_TENANT_ID

    given: dict[str, int | UUID] = {"rows": rows, "first": DEFAULT_TENANT_ID, "second": SECOND_TENANT_ID}
    with connection.cursor() as cursor:
        # Rows are made in bulk: what triggers and foreign keys would check one by one is true by construction.
        cursor.execute("SET session_replication_role = replica")
        for statement in (_SCALE, _EVENTS, _EXECUTIONS):
            cursor.execute(statement, given)
        cursor.execute("RESET session_replication_role")
        cursor.execute("VACUUM (ANALYZE) automate_event, automate_execution")


def _prepare() -> str:
    """Make the tenants and their workflows; return an API key of the first tenant."""
    from automate.models import Automation
    from automate.workflows import create_workflow
    from automate_api.keys import create_key
    from automate_core.context import tenant_scope
    from automate_core.models import DEFAULT_TENANT_ID, Role, Tenant

    Tenant.objects.get_or_create(id=SECOND_TENANT_ID, defaults={"slug": "second", "name": "Second"})
    for tenant_id in (DEFAULT_TENANT_ID, SECOND_TENANT_ID):
        with tenant_scope(tenant_id):
            for slug in SLUGS:
                if not Automation.objects.filter(slug=slug).exists():
                    create_workflow(name=slug, slug=slug, graph=GRAPH, by="benchmarks")
    return create_key(name="lists", tenant_id=DEFAULT_TENANT_ID, role=Role.VIEWER, by="benchmarks")[1]


def _rest_cases(rows: int) -> Iterator[tuple[str, str]]:
    from automate.models import Automation, Execution
    from automate_core.models import DEFAULT_TENANT_ID

    ids = {a.slug: str(a.pk) for a in Automation.all_tenants.filter(tenant_id=DEFAULT_TENANT_ID)}
    big, small = f"workflow={ids[SLUGS[0]]}", f"workflow={ids[SLUGS[-1]]}"
    some = Execution.all_tenants.filter(tenant_id=DEFAULT_TENANT_ID).order_by("created_at")[rows // 3]
    day = "since=2026-05-01&until=2026-05-02"
    half = "since=2026-03-01&until=2026-08-01"
    old = "until=2026-01-10"
    pages = min(400, rows * 9 // 10 // 25)
    trace = f"trace_id={some.trace_id}"
    executions = [
        "", f"page={pages}", f"page_size=100&page={pages // 4}", big, small, "status=SUCCESS",
        "status=FAILED", "status=RUNNING",
        "status=QUEUED", "status=WAITING", f"{big}&status=FAILED", f"{big}&status=RUNNING", f"{small}&status=WAITING",
        f"{small}&status=SUCCESS", "since=2026-10-20", old, day, half, f"{big}&{old}", f"{small}&{half}",
        f"status=FAILED&{half}", f"status=FAILED&{old}", f"{big}&status=FAILED&{day}",
        f"{small}&status=SUCCESS&{old}", trace, f"{trace}&status=FAILED", "trace_id=unknown",
        "event_type=order.created", "event_type=user.joined", "event_type=invoice.voided",
        "event_type=legacy.import", "event_type=unknown", f"{big}&event_type=order.paid",
        "event_type=order.paid&status=FAILED", f"event_type=invoice.voided&status=FAILED&{half}",
    ]  # fmt: skip
    events = [
        "", f"page={pages}", "type=order.created", "type=user.joined", "type=invoice.voided", "type=legacy.import",
        "type=unknown", "source=shop", "source=audit", "type=user.joined&source=crm",
        "type=legacy.import&source=stripe", f"dedupe_key=delivery-{rows // 2 + 1}", "dedupe_key=unknown", trace,
        "trace_id=unknown", "since=2026-10-20", old, day, half, f"type=order.paid&{day}", f"source=audit&{old}",
        f"type=invoice.voided&source=shop&{half}",
    ]  # fmt: skip
    for query in executions:
        yield f"executions {_readable(query, ids)}", f"/api/automate/executions/?{query}"
    for query in events:
        yield f"events {_readable(query, ids)}", f"/api/automate/events/?{query}"
    yield "executions by cursor, 500,000 rows deep", _deep(some)


def _deep(some: Execution) -> str:
    from automate_api.pagination import cursor_of

    return f"/api/automate/executions/?cursor={cursor_of(some, ['created_at', 'id'])}"


def _admin_cases(rows: int) -> Iterator[tuple[str, str]]:
    from automate.models import Execution

    execution = Execution.all_tenants.order_by("-id")[rows // 2]
    for name, query in (
        ("execution", ""),
        ("execution", f"p={min(100, rows // 50)}"),
        ("execution", "status__exact=FAILED"),
        ("execution", f"q={execution.pk}"),
        ("execution", f"q={execution.trace_id}"),
        ("execution", "q=big"),
        ("event", ""),
        ("event", "q=invoice.voided"),
        ("steprun", ""),
        ("outboxitem", ""),
    ):
        app = "automate_core" if name == "outboxitem" else "automate"
        yield f"admin {name} {_readable(query, {})}", f"/admin/{app}/{name}/?{query}"


def _readable(query: str, ids: Mapping[str, str]) -> str:
    for slug, value in ids.items():
        query = query.replace(value, slug)
    return (
        ", ".join(part if len(part) < 30 else f"{part.partition('=')[0]}=..." for part in query.split("&"))
        or "(none)"
    )


def _measured(client: Client, name: str, url: str, given: argparse.Namespace) -> list[float]:
    """Return the milliseconds the statements of one request took, for each repetition after a first one."""
    found = []
    for _ in range(given.repeats + 1):
        clock = _Clock()
        with connection.execute_wrapper(clock):
            answer = client.get(url)
        if answer.status_code != 200:
            raise SystemExit(f"{url} answers {answer.status_code}: {answer.content[:300]!r}")
        found.append(round(clock.milliseconds, 2))
    print(
        f"{statistics.median(found[1:]):9.2f} ms {len(clock.statements):3} statements  {name}",
        file=sys.stderr,
    )
    if given.explain is not None and given.explain in name:
        for statement, params in clock.statements:
            _explain(statement, params)
    return found[1:]


class _Clock:
    """Adds up how long statements take, from sending each until its rows are here."""

    def __init__(self) -> None:
        self.milliseconds = 0.0
        self.statements: list[tuple[str, Any]] = []

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        start = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.milliseconds += (time.perf_counter() - start) * 1000
            self.statements.append((sql, params))


def _explain(statement: str, params: Any) -> None:
    if not statement.startswith("SELECT") or "automate_e" not in statement:
        return
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", params)
        plan = "\n".join(row[0] for row in cursor.fetchall())
    print(f"\n{statement % tuple(params)}\n{plan}\n", file=sys.stderr)


if __name__ == "__main__":
    main()
