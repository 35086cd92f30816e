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
from collections.abc import Coroutine, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import httptools

from benchmarks import orders
from benchmarks.processes import ROOT, Stalled


@dataclass(frozen=True, slots=True)
class Load:
    """`count` requests, either over `concurrency` connections as fast as answers come, or `rate` a second."""

    port: int
    path: str
    secret: str
    count: int
    concurrency: int = 32
    rate: float | None = None
    first: int = 0
    method: str = "POST"


@dataclass(slots=True)
class Outcome:
    """When each request was sent (epoch seconds), how long its answer took (seconds), statuses seen."""

    sent: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    refusal: str = ""

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
            path=load.path, secret=load.secret, count=load.count, first=load.first, method=load.method
        )
        self._sent = [0.0] * load.count
        self._seconds = [0.0] * load.count
        self._statuses: Counter[int] = Counter()
        self._refusal = ""

    async def send(self, connection: _Connection, index: int) -> None:
        sent = time.time()
        status = await connection.ask(self._requests[index])
        self._seconds[index] = time.time() - sent
        self._sent[index] = sent
        self._statuses[status] += 1
        if status >= 300 and not self._refusal:
            self._refusal = connection.content.decode(errors="replace")

    def outcome(self) -> Outcome:
        return Outcome(self._sent, self._seconds, dict(self._statuses), self._refusal)


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
    start = time.perf_counter()
    for index in range(load.count):
        await asyncio.sleep(max(0.0, start + index / rate - time.perf_counter()))
        await recorder.send(connection, index)
    connection.close()
    return recorder.outcome()


def _run(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def main() -> None:
    """Read a Load from stdin, apply it, print the Outcome."""
    load = Load(**json.load(sys.stdin))
    work = closed_loop(load) if load.rate is None else paced(load, load.rate)
    json.dump(asdict(_run(work)), sys.stdout)


if __name__ == "__main__":
    main()
