"""The load generator: a process of its own that posts signed orders and times each answer.

Run as `python -m benchmarks.load` with a Load as JSON on stdin; it prints an Outcome as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import httptools
import psycopg

from benchmarks import orders
from benchmarks.processes import ROOT, Stalled

WATCH_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class Watch:
    """A store to watch while a paced load runs: after each request, until the query's count has grown by one."""

    url: str
    query: str
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """`count` requests, either over `concurrency` connections as fast as answers come, or `rate` a second.

    What requests carry is named in `orders.BODIES`; with a `key` they show that API key instead of a signature.
    With a `watch`, a paced load also notes how long after its sending each order's success was in the store.
    """

    port: int
    path: str
    secret: str
    count: int
    concurrency: int = 32
    rate: float | None = None
    first: int = 0
    method: str = "POST"
    watch: Watch | None = None
    carries: str = "webhook"
    key: str = ""


@dataclass(slots=True)
class Outcome:
    """When each request was sent (epoch seconds), how long its answer took (seconds), statuses seen."""

    sent: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    refusal: str = ""
    visible_seconds: list[float] = field(default_factory=list)

    @property
    def started_at(self) -> float:
        """When the first request was sent."""
        return min(self.sent)

    @property
    def per_second(self) -> float:
        """Answers a second over the whole load."""
        ended = max(sent + took for sent, took in zip(self.sent, self.seconds, strict=True))
        return len(self.sent) / (ended - self.started_at)


class Refused(RuntimeError):
    """The server answered something else than 2xx."""


def apply(load: Load, *, timeout: float) -> Outcome:
    """Run a load in its own process.

    Raises:
        Refused: an answer was not 2xx; nothing measured after that would mean anything.
        Stalled: it did not end within `timeout` seconds.
    """
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.load"],
            input=json.dumps(asdict(load)).encode(),
            capture_output=True,
            timeout=timeout,
            check=True,
            cwd=ROOT,
        )
    except subprocess.TimeoutExpired:
        raise Stalled(f"The load of {load.count} requests did not end within {timeout:g} s") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise Stalled(f"The load generator failed: {said}; the web process may be gone") from error
    found = json.loads(ran.stdout)
    outcome = Outcome(**{**found, "statuses": {int(code): n for code, n in found["statuses"].items()}})
    if any(not 200 <= code < 300 for code in outcome.statuses):
        raise Refused(
            f"Answers by status: {outcome.statuses}; the first refusal says: {outcome.refusal[:500]}"
        )
    return outcome


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request in flight."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[int] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self.content = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.content = b""

    def on_body(self, content: bytes) -> None:
        self.content += content

    def on_message_complete(self) -> None:
        assert self._waiter is not None
        status = self._parser.get_status_code()
        self._parser = httptools.HttpResponseParser(self)
        self._waiter.set_result(status)

    async def ask(self, request: bytes) -> int:
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiter

    def close(self) -> None:
        self._transport.close()


async def _connect(load: Load) -> _Connection:
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(_Connection, "127.0.0.1", load.port))[1]


class _Recorder:
    """Sends prepared requests one by one and notes sending time, answer time and status."""

    def __init__(self, load: Load) -> None:
        self._requests = orders.requests(
            path=load.path, secret=load.secret, count=load.count, first=load.first, method=load.method,
            carries=load.carries, key=load.key,
        )  # fmt: skip
        self._sent = [0.0] * load.count
        self._seconds = [0.0] * load.count
        self._statuses: Counter[int] = Counter()
        self._refusal = ""
        self._visible: list[float] = []

    async def send(self, connection: _Connection, index: int) -> None:
        sent = time.time()
        status = await connection.ask(self._requests[index])
        self._seconds[index] = time.time() - sent
        self._sent[index] = sent
        self._statuses[status] += 1
        if status >= 300 and not self._refusal:
            self._refusal = connection.content.decode(errors="replace")

    def visible(self, index: int) -> None:
        self._visible.append(time.time() - self._sent[index])

    def outcome(self) -> Outcome:
        return Outcome(self._sent, self._seconds, dict(self._statuses), self._refusal, self._visible)


async def closed_loop(load: Load) -> Outcome:
    """Keep `concurrency` requests in flight: each connection sends its next when its last is answered."""
    recorder = _Recorder(load)
    connections = [await _connect(load) for _ in range(load.concurrency)]
    indexes = iter(range(load.count))

    async def serve(connection: _Connection, taken: Iterator[int]) -> None:
        for index in taken:
            await recorder.send(connection, index)

    await asyncio.gather(*(serve(connection, indexes) for connection in connections))
    for connection in connections:
        connection.close()
    return recorder.outcome()


async def paced(load: Load, rate: float) -> Outcome:
    """Send `rate` requests a second over one connection, each at its own time."""
    recorder = _Recorder(load)
    connection = await _connect(load)
    async with _store(load.watch) as watched:
        start = time.perf_counter()
        for index in range(load.count):
            await asyncio.sleep(max(0.0, start + index / rate - time.perf_counter()))
            await recorder.send(connection, index)
            if watched is not None:
                await watched.grown()
                recorder.visible(index)
    connection.close()
    return recorder.outcome()


class _Watched:
    def __init__(self, watch: Watch, connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> None:
        self._watch = watch
        self._connection = connection
        self.count = 0

    async def read(self) -> int:
        row = await (await self._connection.execute(self._watch.query)).fetchone()
        assert row is not None
        return int(row[0])

    async def grown(self) -> None:
        """Wait until the store has one success more than the last time."""
        deadline = time.monotonic() + self._watch.timeout
        self.count += 1
        while await self.read() < self.count:
            if time.monotonic() > deadline:
                raise SystemExit(f"the store did not show success number {self.count} in time")
            await asyncio.sleep(WATCH_SECONDS)


@asynccontextmanager
async def _store(watch: Watch | None) -> AsyncIterator[_Watched | None]:
    if watch is None:
        yield None
        return
    async with await psycopg.AsyncConnection.connect(
        watch.url, autocommit=True, prepare_threshold=0
    ) as connection:
        watched = _Watched(watch, connection)
        watched.count = await watched.read()
        yield watched


def _run(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def main() -> None:
    """Read a Load from stdin, apply it, print the Outcome."""
    given = json.load(sys.stdin)
    watch = given.pop("watch")
    load = Load(**given, watch=watch and Watch(**watch))
    work = closed_loop(load) if load.rate is None else paced(load, load.rate)
    json.dump(asdict(_run(work)), sys.stdout)


if __name__ == "__main__":
    main()
