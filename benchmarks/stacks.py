"""What a workload runs against: a web process, a worker process and the store that counts executions."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import psycopg

from benchmarks import load, raw
from benchmarks.database import Server
from benchmarks.processes import Child, accepts, child, free_port, wait_until

SECRET = "bench-secret"
RAW_APPLICATION = ("benchmarks.raw:app",)
UVICORN: tuple[str, ...] = (
    "--host",
    "127.0.0.1",
    "--loop",
    "uvloop",
    "--http",
    "httptools",
    "--log-level",
    "warning",
)
UVICORN += ("--no-access-log", "--no-proxy-headers", "--no-server-header")


@dataclass(frozen=True, slots=True)
class Queries:
    """How a store tells how many executions succeeded, and when each did (order number, epoch seconds)."""

    succeeded: LiteralString
    finish_times: LiteralString


RAW = Queries(
    "SELECT count(*) FROM execution WHERE status = 'SUCCESS'",
    "SELECT (context->'data'->>'i')::int, extract(epoch FROM finished_at)::float8 FROM execution"
    " WHERE (context->'data'->>'i')::int >= %s",
)


class Stack:
    """A running system: where to post, and what its store says."""

    def __init__(
        self, *, url: str, port: int, path: str, children: Sequence[Child], queries: Queries
    ) -> None:
        self.url = url
        self.port = port
        self.path = path
        self.children = children
        self._queries = queries
        self._posted = 0
        self._store = psycopg.connect(url, autocommit=True)

    def post(
        self,
        count: int,
        *,
        timeout: float,
        concurrency: int = 32,
        rate: float | None = None,
        watched: bool = True,
    ) -> load.Outcome:
        """Post `count` signed orders; orders are numbered through the life of the stack.

        Orders at a `rate` are `watched` unless told otherwise: the next is sent when the last has succeeded.
        """
        given = load.Load(
            port=self.port,
            path=self.path,
            secret=SECRET,
            count=count,
            concurrency=concurrency,
            rate=rate,
            first=self._posted,
            watch=load.Watch(self.url, self._queries.succeeded) if rate is not None and watched else None,
        )
        self._posted += count
        return load.apply(given, timeout=timeout)

    def settle(self, *, timeout: float) -> float:
        """Wait until every posted order has a successful execution; return the time at which it was seen."""
        return wait_until(
            lambda: self.succeeded() >= self._posted,
            what=f"{self._posted} executions finished (the store has {self.succeeded()})",
            timeout=timeout,
            children=self.children,
        )

    def succeeded(self) -> int:
        """Count the successful executions in the store."""
        row = self._store.execute(self._queries.succeeded).fetchone()
        assert row is not None
        return int(row[0])

    def finish_times(self, first: int) -> dict[int, float]:
        """Return when each order from `first` on was finished, as the store recorded it (epoch seconds)."""
        return dict(self._store.execute(self._queries.finish_times, (first,)).fetchall())

    @property
    def posted(self) -> int:
        """How many orders were posted so far: the number of the next."""
        return self._posted

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()


@contextlib.contextmanager
def raw_stack(
    server: Server, logs: Path, *, grain: str, application: Sequence[str] = RAW_APPLICATION
) -> Iterator[Stack]:
    """Run the raw engine for the time of the block; `grain` is batch or layer."""
    name = f"bench_raw_{grain}_{os.getpid()}"
    url, port = server.fresh(name), free_port()
    with psycopg.connect(url) as connection:
        connection.execute(raw.DDL)
    env = {**os.environ, "DATABASE_URL": url}
    web = [sys.executable, "-m", "uvicorn", *application, "--port", str(port), *UVICORN]
    with contextlib.ExitStack() as until_end:
        until_end.callback(server.drop, name)
        children = [
            until_end.enter_context(child(f"raw-{grain}-web", web, env=env, logs=logs)),
            until_end.enter_context(
                child(
                    f"raw-{grain}-worker", [sys.executable, "-m", "benchmarks.raw", grain], env=env, logs=logs
                )
            ),
        ]
        wait_until(lambda: accepts(port), what="the raw web process listens", timeout=30, children=children)
        stack = Stack(url=url, port=port, path="/hook", children=children, queries=RAW)
        until_end.callback(stack.close)
        yield stack
