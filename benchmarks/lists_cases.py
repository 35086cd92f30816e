"""Which lists are asked for: every documented filter, each pair of them, and what matches little or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from benchmarks.lists_rows import LONG_TRACE, ONLY_DAILY, SLUGS

_DAY = "since=2026-05-01&until=2026-05-02"
_HALF = "since=2026-03-01&until=2026-08-01"
_OLD = "until=2026-01-10"
_TIMES = (_HALF, _OLD, _DAY, "since=2026-10-20")
_TYPES = ("order.created", "user.joined", "invoice.voided", "legacy.import", ONLY_DAILY, "unknown")
_SOURCES = ("shop", "schedule", "audit", "unknown")


@dataclass(frozen=True, slots=True)
class Case:
    """One list: `group` is what it is reported under, with the slowest of its group."""

    group: str
    url: str

    @property
    def query(self) -> str:
        """The query of the URL, ids left out."""
        query = self.url.partition("?")[2]
        parts = (part if len(part) < 40 else f"{part.partition('=')[0]}=..." for part in query.split("&"))
        return ", ".join(parts) or "no filter"


def rest_cases(
    *, rows: int, workflows: Mapping[str, str], trace_id: str, cursor: str, page: int
) -> Iterator[Case]:
    """Yield the lists of the REST API.

    Args:
        rows: executions, and events, there are.
        workflows: ids by slug.
        trace_id: one that one execution and one event have.
        cursor: of an execution in the middle of the list.
        page: number of the last page of 25 that is counted.
    """
    traces = [f"trace_id={given}" for given in (LONG_TRACE, trace_id, "unknown")]
    yield from _lists(
        "executions",
        {
            "workflow": [f"workflow={workflows[slug]}" for slug in SLUGS],
            "status": [f"status={word}" for word in ("SUCCESS", "FAILED", "RUNNING", "QUEUED", "WAITING")],
            "time": _TIMES,
            "trace_id": traces,
            "event_type": [f"event_type={given}" for given in _TYPES],
        },
        page,
    )
    yield from _lists(
        "events",
        {
            "type": [f"type={given}" for given in _TYPES],
            "source": [f"source={given}" for given in _SOURCES],
            "time": _TIMES,
            "trace_id": traces,
            "dedupe_key": [f"dedupe_key={given}" for given in (f"delivery-{rows // 2 + 1}", "unknown")],
        },
        page,
    )
    yield Case("executions by cursor, 500,000 rows deep", f"/api/automate/executions/?cursor={cursor}")
    yield Case("triggers of Zapier", "/api/automate/zapier/triggers/")
    orders = [
        f"ordering={sign}{name}"
        for name in ("created_at", "updated_at", "name", "slug")
        for sign in ("", "-")
    ]
    yield from _lists(
        "workflows",
        {
            "enabled": ("enabled=true", "enabled=false"),
            "search": ("search=import-99", "search=no+such"),
            "ordering": orders,
        },
        page * 9 // 10,
    )
    versions = f"/api/automate/workflows/{workflows[SLUGS[0]]}/versions/"
    yield from (Case("versions of a workflow", f"{versions}?{query}") for query in ("", f"page={page // 10}"))


def approval_cases(page: int) -> Iterator[Case]:
    """Yield the lists of approvals, as a person who is asked some of them sees them."""
    states = ("APPROVED", "PENDING", "REJECTED", "EXPIRED", "CANCELLED")
    filters = {"assigned": ("assigned=all", "assigned=me"), "status": [f"status={state}" for state in states]}
    yield from _lists("approvals", filters, page)


def admin_cases(rows: int, *, execution_id: str, trace_id: str) -> Iterator[Case]:
    """Yield the lists of the admin."""
    for model, query in (
        ("automate/execution", ""),
        ("automate/execution", f"p={min(100, rows // 50)}"),
        ("automate/execution", "status__exact=FAILED"),
        ("automate/execution", f"q={execution_id}"),
        ("automate/execution", f"q={trace_id}"),
        ("automate/execution", "q=big"),
        ("automate/event", ""),
        ("automate/event", "q=invoice.voided"),
        ("automate/steprun", ""),
        ("automate_core/outboxitem", ""),
    ):
        yield Case(f"admin: {model.partition('/')[2]}", f"/admin/{model}/?{query}")


def _lists(name: str, filters: Mapping[str, Sequence[str]], page: int) -> Iterator[Case]:
    """Yield a list with each, with each two and with each three of its filters, and far pages of it by number."""
    url = f"/api/automate/{name}/"
    yield Case(f"{name}, no filter", url)
    for number, words in enumerate(("one filter", "two filters", "three filters"), 1):
        for chosen in combinations(filters.values(), number):
            # Of three filters the first two values each: the extremes, not all of them.
            for given in product(*(values[:2] if number > 2 else values for values in chosen)):
                yield Case(f"{name}, {words}", f"{url}?{'&'.join(given)}")
    yield Case(f"{name}, page {page}", f"{url}?page={page}")
    yield Case(f"{name}, page {page}", f"{url}?page_size=100&page={page // 4}")
    # The first value of each filter is one that many rows have.
    for number in (1, 2):
        for chosen in combinations(filters.values(), number):
            query = "&".join([*(values[0] for values in chosen), f"page={page // 10}"])
            yield Case(f"{name}, page {page // 10} of one or two filters", f"{url}?{query}")
