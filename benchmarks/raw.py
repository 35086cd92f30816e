"""The raw ceiling: the smallest engine with our guarantees, in SQL alone, without Django or tenants.

The web process (`app`) answers 202 once the order is committed; orders that arrive while a commit runs
share the next one. The worker claims a batch (committed before the work starts), runs three steps in memory
and records an execution row and one row a step, by one of two grains:

batch  one commit for everything a claimed batch did: the ceiling of pure steps
layer  a commit after each layer of steps, so each result is durable before the next step starts: the
       ceiling of steps with side effects
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, LiteralString

import orjson
import psycopg

Order = dict[str, Any]
Connection = psycopg.Connection[tuple[Any, ...]]

DDL: LiteralString = """
CREATE TABLE outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state smallint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(), payload jsonb NOT NULL);
CREATE INDEX outbox_ready ON outbox (id) WHERE state = 0;
CREATE TABLE execution (
  id bigint PRIMARY KEY, status text NOT NULL, context jsonb NOT NULL,
  started_at timestamptz NOT NULL, finished_at timestamptz);
CREATE TABLE step (
  execution_id bigint, number smallint, node text NOT NULL, status text NOT NULL, input jsonb, output jsonb,
  started_at timestamptz NOT NULL, finished_at timestamptz NOT NULL, PRIMARY KEY (execution_id, number));
"""
ENQUEUE: LiteralString = "INSERT INTO outbox (payload) SELECT unnest(%s::jsonb[])"
CLAIM: LiteralString = """
WITH ready AS (SELECT id FROM outbox WHERE state = 0 ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
UPDATE outbox SET state = 1 FROM ready WHERE outbox.id = ready.id RETURNING outbox.id, outbox.payload::text
"""
DELIVERED: LiteralString = "UPDATE outbox SET state = 2 WHERE id = ANY(%s)"
START: LiteralString = """
INSERT INTO execution (id, status, context, started_at)
SELECT id, 'RUNNING', context, clock_timestamp() FROM unnest(%s::bigint[], %s::jsonb[]) AS given (id, context)
"""
FINISH: LiteralString = (
    "UPDATE execution SET status = 'SUCCESS', finished_at = clock_timestamp() WHERE id = ANY(%s)"
)
FINISHED: LiteralString = """
INSERT INTO execution (id, status, context, started_at, finished_at)
SELECT id, 'SUCCESS', context, to_timestamp(%s), clock_timestamp()
FROM unnest(%s::bigint[], %s::jsonb[]) AS given (id, context)
"""
RECORD: LiteralString = """
INSERT INTO step
SELECT execution, number, node, 'SUCCESS', input, output, to_timestamp(started), to_timestamp(finished)
FROM unnest(%s::bigint[], %s::smallint[], %s::text[], %s::jsonb[], %s::jsonb[], %s::float8[], %s::float8[])
AS given (execution, number, node, input, output, started, finished)
"""

Step = tuple[str, Callable[[Order], Order]]
StepRow = tuple[int, int, str, str, str, float, float]


def _set(event: Order) -> Order:
    return {**event["data"], "source": "bench", "type": event["event_type"]}


def _transform(order: Order) -> Order:
    return {**order, "total": order["amount"] * 2, "name": order["customer_name"].upper()}


def _condition(order: Order) -> Order:
    return {**order, "branch": "high" if order["total"] > 200 else "low"}


STEPS: Sequence[Step] = (("set", _set), ("transform", _transform), ("condition", _condition))


class Web:
    """The ASGI application: group commit of whatever was posted while the last commit ran."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._posted = asyncio.Event()
        self._committer: asyncio.Task[None]

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            await receive()
            self._committer = asyncio.create_task(self._commit())
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        message = await receive()
        content = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            content += message.get("body", b"")
        if content:
            await self._durable(content.decode())
        answer = b'{"event_id":"raw","message":"Event accepted for processing"}'
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _durable(self, payload: str) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((payload, future))
        self._posted.set()
        await future

    async def _commit(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            os.environ["DATABASE_URL"], autocommit=True, prepare_threshold=0
        )
        while True:
            await self._posted.wait()
            self._posted.clear()
            batch, self._waiting = self._waiting, []
            async with connection.pipeline(), connection.transaction():
                await connection.execute(ENQUEUE, ([payload for payload, _ in batch],))
                await connection.execute("NOTIFY outbox")
            for _, future in batch:
                future.set_result(None)


app = Web()


def work(url: str, grain: str, limit: int = 100) -> None:
    """Drain orders for ever, sleeping on the doorbell when there are none."""
    record = {"batch": by_batch, "layer": by_layer}[grain]
    bell = psycopg.connect(url, autocommit=True)
    bell.execute("LISTEN outbox")
    connection = psycopg.connect(url, autocommit=True, prepare_threshold=0)
    while True:
        claimed = connection.execute(CLAIM, (limit,)).fetchall()
        if claimed:
            record(connection, claimed)
        else:
            list(bell.notifies(timeout=0.5, stop_after=1))


def by_batch(connection: Connection, claimed: Sequence[tuple[Any, ...]]) -> None:
    """Run the steps of all claimed orders and record everything in one commit."""
    started = time.time()
    ids = [number for number, _ in claimed]
    rows: list[StepRow] = []
    for execution, payload in claimed:
        state = orjson.loads(payload)
        for number, step in enumerate(STEPS):
            state = _run(execution, number, step, state, rows)
    with connection.pipeline(), connection.transaction():
        connection.execute(RECORD, _columns(rows))
        connection.execute(FINISHED, (started, ids, [payload for _, payload in claimed]))
        connection.execute(DELIVERED, (ids,))


def by_layer(connection: Connection, claimed: Sequence[tuple[Any, ...]]) -> None:
    """Run the claimed orders step by step together, a commit a step."""
    ids = [number for number, _ in claimed]
    connection.execute(START, (ids, [payload for _, payload in claimed]))
    states = [orjson.loads(payload) for _, payload in claimed]
    for number, step in enumerate(STEPS):
        rows: list[StepRow] = []
        states = [_run(ids[k], number, step, state, rows) for k, state in enumerate(states)]
        connection.execute(RECORD, _columns(rows))
    with connection.pipeline(), connection.transaction():
        connection.execute(FINISH, (ids,))
        connection.execute(DELIVERED, (ids,))


def _run(execution: int, number: int, step: Step, state: Order, rows: list[StepRow]) -> Order:
    node, function = step
    started = time.time()
    output = function(state)
    made = (orjson.dumps(state).decode(), orjson.dumps(output).decode())
    rows.append((execution, number, node, *made, started, time.time()))
    return output


def _columns(rows: Sequence[StepRow]) -> tuple[list[Any], ...]:
    return tuple(map(list, zip(*rows, strict=True)))


def fill(url: str, count: int) -> None:
    """Lay out the tables and enqueue `count` no-op items."""
    with psycopg.connect(url) as connection:
        connection.execute(DDL)
        with connection.cursor().copy("COPY outbox (payload) FROM STDIN") as rows:
            for number in range(count):
                rows.write_row((orjson.dumps({"i": number}).decode(),))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE outbox")


def drain(url: str, batch: int = 100) -> float:
    """Drain no-op items, a commit a claim and a commit a batch; return items a second."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        done, start = 0, time.perf_counter()
        while claimed := connection.execute(CLAIM, (batch,)).fetchall():
            connection.execute(DELIVERED, ([number for number, _ in claimed],))
            done += len(claimed)
        return done / (time.perf_counter() - start)


def sequence(url: str, steps: int = 40) -> float:
    """Run one execution of trivial steps with one commit; return milliseconds from claim to finish."""
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        took = []
        for _ in range(4):
            connection.execute(ENQUEUE, (['{"n": 0}'],))
            start = time.perf_counter()
            (execution, payload), *_ = connection.execute(CLAIM, (1,)).fetchall()
            rows: list[StepRow] = []
            state, began = orjson.loads(payload), time.time()
            for number in range(steps):
                state = _run(execution, number, ("add", lambda order: {"n": order["n"] + 1}), state, rows)
            with connection.pipeline(), connection.transaction():
                connection.execute(RECORD, _columns(rows))
                connection.execute(FINISHED, (began, [execution], [payload]))
                connection.execute(DELIVERED, ([execution],))
            took.append((time.perf_counter() - start) * 1000)
        return sorted(took[1:])[1]


if __name__ == "__main__":
    work(os.environ["DATABASE_URL"], sys.argv[1])
