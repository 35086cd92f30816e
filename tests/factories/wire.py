"""What the server was really asked: libpq's own trace of one connection, not what a wrapper believes."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import connection

_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE)\b")


@dataclass(slots=True)
class Traffic:
    """Statements the server executed, and how many transactions that wrote something it committed."""

    statements: list[str] = field(default_factory=list)
    commits: int = 0


@contextmanager
def traffic() -> Iterator[Traffic]:
    """Trace the default connection while the block runs; the result is filled in at its end."""
    connection.ensure_connection()
    seen = Traffic()
    with tempfile.TemporaryFile() as trace:
        pgconn = connection.connection.pgconn
        pgconn.trace(trace.fileno())
        try:
            yield seen
        finally:
            pgconn.untrace()
        trace.seek(0)
        _read(trace.read().decode(errors="replace"), seen)


def _read(trace: str, seen: Traffic) -> None:
    parsed, since_idle = "", []
    for record in re.split(r"^(?=\d{4}-\d\d-\d\d )", trace, flags=re.MULTILINE):
        _, side, _, kind, rest = (record.split("\t", 4) + [""] * 5)[:5]
        kind = kind.strip()
        if side == "F" and kind == "Parse":
            parsed = rest
        elif side == "F" and kind in ("Execute", "Query"):
            statement = parsed if kind == "Execute" else rest
            seen.statements.append(statement.strip().strip('"'))
            since_idle.append(statement)
        elif side == "B" and kind == "ReadyForQuery" and rest.strip() == "I":
            rolled_back = any(re.search(r"\bROLLBACK\b(?! TO)", statement) for statement in since_idle)
            seen.commits += not rolled_back and any(_WRITES.search(statement) for statement in since_idle)
            since_idle = []
