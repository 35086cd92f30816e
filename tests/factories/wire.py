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
    parsed, wrote, rolled_back = "", False, False
    for record in re.split(r"^(?=\d{4}-\d\d-\d\d )", trace, flags=re.MULTILINE):
        _, side, _, kind, rest = (record.split("\t", 4) + [""] * 5)[:5]
        kind, rest = kind.strip(), rest.strip().strip('"')
        if side == "F" and kind == "Parse":
            parsed = rest
        elif side == "F" and kind in ("Execute", "Query"):
            seen.statements.append(parsed if kind == "Execute" else rest)
        elif side == "B" and kind == "CommandComplete":
            rolled_back |= rest == "ROLLBACK"
            # An UPDATE that touched no row leaves nothing to commit.
            wrote |= bool(_WRITES.search(seen.statements[-1])) and rest not in (
                "UPDATE 0",
                "DELETE 0",
                "INSERT 0 0",
            )
        elif side == "B" and kind == "ReadyForQuery" and rest == "I":
            seen.commits += wrote and not rolled_back
            wrote = rolled_back = False
