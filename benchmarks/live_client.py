"""Those who look on, as a process of its own inside Django; prints JSON.

setup GRAPH                 create the workflow `live` and a key; return both
latency URL ID KEY COUNT    runs one after the other; milliseconds from the end of each to its frame
crowd URL ID KEY COUNT      so many sockets on one workflow; when the last one has the end of a run
rate URL ID KEY COUNT WATCHERS  so many runs at once; executions a second with so many watchers
streams URL ID KEY COUNT    so many idle event streams; milliseconds of a GET without and with them
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import django
import httpx
from django.db import connection, transaction

SLUG = "live"
END = "workflow_completed"


def setup(graph: str) -> dict[str, str]:
    """Create what is watched, and a key that may watch."""
    from automate.workflows import create_workflow
    from automate_api import keys
    from automate_core.models import Role

    automation = create_workflow(name=SLUG, slug=SLUG, graph=json.loads(graph), by="benchmarks")
    key = keys.create_key(name=SLUG, tenant_id=automation.tenant_id, role=Role.RUNNER, by="benchmarks")[1]
    return {"workflow": str(automation.pk), "key": key}


def latency(url: str, workflow: str, key: str, count: str) -> dict[str, float]:
    """Follow runs one after the other."""
    from websockets.sync.client import connect

    took = []
    with connect(_socket_url(url, workflow), additional_headers={"X-API-Key": key}, proxy=None) as socket:
        socket.recv(timeout=20)
        for _ in range(int(count)):
            _start()
            said = json.loads(socket.recv(timeout=20))
            while said["type"] != END:
                said = json.loads(socket.recv(timeout=20))
            took.append((time.time() - datetime.fromisoformat(said["at"]).timestamp()) * 1000)
            time.sleep(0.02)
    return _quantiles(took)


def crowd(url: str, workflow: str, key: str, count: str) -> dict[str, float]:
    """Open many sockets, run once, and wait for the last to hear of the end."""
    return asyncio.run(_crowd(url, workflow, key, int(count)))


async def _crowd(url: str, workflow: str, key: str, count: int) -> dict[str, float]:
    from websockets.asyncio.client import connect

    began = time.time()
    opened: list[Any] = []
    for first in range(0, count, 50):
        opened += await asyncio.gather(
            *(
                connect(
                    _socket_url(url, workflow),
                    additional_headers={"X-API-Key": key},
                    proxy=None,
                    open_timeout=60,
                )
                for _ in range(first, min(first + 50, count))
            )
        )
    for socket in opened:
        await socket.recv()
    opening = time.time() - began

    async def end_of(socket: Any) -> tuple[float, float]:
        async for text in socket:
            said = json.loads(text)
            if said["type"] == END:
                return time.time(), datetime.fromisoformat(said["at"]).timestamp()
        raise RuntimeError(f"closed: {socket.close_code} {socket.close_reason}")

    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    waiting = [asyncio.create_task(end_of(socket)) for socket in opened]
    await asyncio.to_thread(_start)
    heard = await asyncio.wait_for(asyncio.gather(*waiting), 60)
    delays = [(at - end) * 1000 for at, end in heard]
    for socket in opened:
        await socket.close()
    return {"opening_seconds": opening, "first_ms": min(delays), "last_ms": max(delays)}


def rate(url: str, workflow: str, key: str, count: str, watchers: str) -> dict[str, float]:
    """Queue runs at once and time the worker to the last of them, with so many sockets that read along."""
    return asyncio.run(_rate(url, workflow, key, int(count), int(watchers)))


async def _rate(url: str, workflow: str, key: str, count: int, watchers: int) -> dict[str, float]:
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    heard, dropped = [0], [0]

    async def read_along() -> None:
        # Comes back when it was dropped for reading too slowly, as a page does.
        async for socket in connect(
            _socket_url(url, workflow), additional_headers={"X-API-Key": key}, proxy=None
        ):
            try:
                async for _ in socket:
                    heard[0] += 1
            except ConnectionClosed:
                dropped[0] += 1

    reading = [asyncio.create_task(read_along()) for _ in range(watchers)]
    await asyncio.sleep(1.0)
    before = await asyncio.to_thread(_finished)
    await asyncio.to_thread(_start, count)
    began = time.perf_counter()
    while await asyncio.to_thread(_finished) < before + count:
        await asyncio.sleep(0.05)
    took = time.perf_counter() - began
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    return {"rate": count / took, "heard": heard[0], "dropped": dropped[0]}


def streams(url: str, workflow: str, key: str, count: str) -> dict[str, Any]:
    """Hold many idle event streams open and time a GET beside them."""
    return asyncio.run(_streams(url, key, int(count)))


async def _streams(url: str, key: str, count: int) -> dict[str, Any]:
    from automate.models import Execution

    execution = await asyncio.to_thread(_waiting_execution, Execution)
    headers = {"X-API-Key": key}
    limits = httpx.Limits(max_connections=count + 10)
    async with httpx.AsyncClient(headers=headers, timeout=60, limits=limits) as client:
        alone = await _get_times(client, f"{url}/api/automate/executions/{execution}/")
        opened = [
            await client.send(
                client.build_request("GET", f"{url}/api/automate/executions/{execution}/stream/"), stream=True
            )
            for _ in range(count)
        ]
        statuses = sorted({response.status_code for response in opened})
        beside = await _get_times(client, f"{url}/api/automate/executions/{execution}/")
        for response in opened:
            await response.aclose()
    return {"alone": _quantiles(alone), "beside": _quantiles(beside), "statuses": statuses}


async def _get_times(client: httpx.AsyncClient, url: str) -> list[float]:
    took = []
    for place in range(320):
        began = time.perf_counter()
        answer = await client.get(url)
        answer.raise_for_status()
        if place >= 20:
            took.append((time.perf_counter() - began) * 1000)
    return took


def _waiting_execution(model: Any) -> str:
    """Return an execution no worker will touch."""
    from automate.models import Automation

    automation = Automation.all_tenants.get(slug=SLUG)
    return str(model.all_tenants.create(automation=automation, tenant_id=automation.tenant_id).pk)


def _start(count: int = 1) -> None:
    from automate.events import run_workflow

    try:
        with transaction.atomic():
            for _ in range(count):
                run_workflow(SLUG, {})
    finally:
        if count == 1:
            connection.close()


def _finished() -> int:
    from automate_core import sql

    found = sql.execute("SELECT count(*) FROM automate_execution WHERE finished_at IS NOT NULL")
    return int(found[0][0])


def _socket_url(url: str, workflow: str) -> str:
    return f"{url.replace('http', 'ws', 1)}/ws/workflow/{workflow}/"


def _quantiles(took: list[float]) -> dict[str, float]:
    ordered = sorted(took)
    return {
        "p50": statistics.median(ordered),
        "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
    }


COMMANDS: dict[str, Callable[..., Any]] = {
    "setup": setup, "latency": latency, "crowd": crowd, "rate": rate, "streams": streams,
}  # fmt: skip


if __name__ == "__main__":
    django.setup()
    print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])))
