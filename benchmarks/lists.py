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
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import django
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client

from benchmarks.lists_cases import Case, admin_cases, approval_cases, rest_cases
from benchmarks.lists_rows import LONG_TRACE, SECOND_TENANT_ID, SLUGS, seed
from benchmarks.measures import Measure, Target
from benchmarks.ours import LOCAL, installation
from benchmarks.plan import Plan
from benchmarks.processes import run

ROWS = 1_000_000
LIMIT_MS = 20.0
GRAPH = {"nodes": [{"id": "log", "type": "logging", "config": {"message": "hello"}}]}


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
        Measure(
            f"list {group}, slowest of {one['of']}: {one['query']}",
            "ms",
            one["runs"],
            target=target,
            load=plan.loads,
        )
        for group, one in figures.items()
    ]


def arguments() -> argparse.ArgumentParser:
    """Describe what the process inside Django understands."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lists", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="executions, and events, to seed (1,000,000)")
    parser.add_argument("--repeats", type=int, default=7, help="requests of each list; the median counts (7)")
    parser.add_argument(
        "--seeded", action="store_true", help="the database of DATABASE_URL is seeded already"
    )
    parser.add_argument("--only", metavar="PART", default="", help="only lists whose name has PART in it")
    parser.add_argument("--explain", action="store_true", help="print the plans, too")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Seed the database of this Django, ask for every list, print the figures."""
    given = arguments().parse_args(argv)
    django.setup()
    key = _prepare()
    if not given.seeded:
        seed(given.rows)
    user = get_user_model().objects.get_or_create(username="lists", is_staff=True, is_superuser=True)[0]
    signed_in = Client(headers={"Host": "localhost"})
    signed_in.force_login(user)
    slowest: dict[str, dict[str, Any]] = {}
    for client, case in _cases(
        given.rows, Client(headers={"X-API-Key": key, "Host": "localhost"}), signed_in
    ):
        if given.only in f"{case.group} {case.query}":
            _keep(slowest, case, _measured(client, case, given))
    print(json.dumps(slowest))


def _cases(rows: int, caller: Client, person: Client) -> Iterator[tuple[Client, Case]]:
    from automate.models import Automation, Execution
    from automate_api.conf import setting
    from automate_api.pagination import cursor_of
    from automate_core.models import DEFAULT_TENANT_ID

    ours = Execution.all_tenants.filter(tenant_id=DEFAULT_TENANT_ID)
    some = ours.exclude(trace_id=LONG_TRACE).order_by("created_at")[rows // 3]
    ids = Automation.all_tenants.filter(tenant_id=DEFAULT_TENANT_ID, slug__in=SLUGS).values_list("slug", "id")
    page = min(int(setting("COUNT_LIMIT")), rows * 9 // 10) // 25
    for case in rest_cases(
        rows=rows, workflows={slug: str(id_) for slug, id_ in ids}, trace_id=some.trace_id,
        cursor=cursor_of(some, ["created_at", "id"]), page=page,
    ):  # fmt: skip
        yield caller, case
    for case in approval_cases(page):
        yield person, case
    for case in admin_cases(rows, execution_id=str(some.pk), trace_id=some.trace_id):
        yield person, case


def _keep(slowest: dict[str, dict[str, Any]], case: Case, runs: list[float]) -> None:
    """Count a list in its group, and keep its figures where it is the slowest so far."""
    held = slowest.setdefault(case.group, {"of": 0, "query": "", "runs": [0.0]})
    held["of"] += 1
    if statistics.median(runs) > statistics.median(held["runs"]):
        held["query"], held["runs"] = case.query, runs


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


def _measured(client: Client, case: Case, given: argparse.Namespace) -> list[float]:
    """Return the milliseconds the statements of one request took, for each repetition after a first one."""
    found = []
    for _ in range(given.repeats + 1):
        clock = _Clock()
        with connection.execute_wrapper(clock):
            answer = client.get(case.url)
        # A narrowed list may have fewer pages.
        if answer.status_code != (404 if "page=" in case.url and answer.status_code == 404 else 200):
            raise SystemExit(f"{case.url} answers {answer.status_code}: {answer.content[:300]!r}")
        found.append(round(clock.milliseconds, 2))
    print(
        f"{statistics.median(found[1:]):9.2f} ms, least {min(found[1:]):.2f}, {len(clock.statements)} statements"
        f"  {case.group}: {case.query}",
        file=sys.stderr,
    )
    if given.explain:
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
    if not statement.startswith("SELECT") or "automate_" not in statement:
        return
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", params)
        plan = "\n".join(row[0] for row in cursor.fetchall())
    print(f"\n{statement % tuple(params)}\n{plan}\n", file=sys.stderr)


if __name__ == "__main__":
    main()
