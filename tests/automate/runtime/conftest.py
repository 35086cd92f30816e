"""Scripted steps and workers that a test may abandon."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from automate_core.outbox.drain import Drain
from automate_core.steps import Effect, step_registry
from tests.factories.scripted import Act, Gate, ScriptedStep


@pytest.fixture
def register_step() -> Iterator[Callable[..., ScriptedStep]]:
    """Return a function that registers a scripted step for the length of the test."""
    names: list[str] = []

    def register(type: str, effect: Effect, act: Act = lambda config, context: {}) -> ScriptedStep:
        step = ScriptedStep(type, effect, act)
        step_registry.register(type, step)
        names.append(type)
        return step

    yield register
    for name in names:
        step_registry.unregister(name)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Return a gate that is open, at the latest, when the test ends."""
    made = Gate()
    yield made
    made.open.set()


@pytest.fixture
def worker() -> Iterator[Callable[[], Drain]]:
    """Return a function that makes a worker; its threads end with the test, not before."""
    made: list[Drain] = []

    def make() -> Drain:
        made.append(Drain())
        return made[-1]

    yield make
    for drain in made:
        drain.close()
